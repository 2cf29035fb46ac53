"""The faces in front of the camera, from frame to frame."""
