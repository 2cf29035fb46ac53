"""Who is in front of the camera, from moment to moment."""
