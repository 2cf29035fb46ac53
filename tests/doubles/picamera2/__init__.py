"""Stands in for picamera2, as far as `appliance/camera/picamera.py` uses it: the same surface, and the same traps.

`tests/camera/test_picamera_surface.py` compares it with the real one; `camera_module` says what its camera does.
"""

from picamera2.picamera2 import Picamera2

__all__ = ["Picamera2"]
