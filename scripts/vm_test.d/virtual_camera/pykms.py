"""Stands in for python3-kms++, which Debian does not have: picamera2 imports it for a preview window that is never opened."""


class PixelFormat:
    """Names of formats for that screen."""

    RGB888 = BGR888 = XRGB8888 = XBGR8888 = YUV420 = YVU420 = NV12 = ABGR8888 = None
