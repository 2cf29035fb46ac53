"""The vocabulary and the geometry of faces: pure numpy, no I/O, no clock, no model."""
