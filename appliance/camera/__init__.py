"""Frames, wherever from; knows nothing of faces."""
