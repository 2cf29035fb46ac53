"""Measures the accuracy and the speed of a face appliance: `appliance evaluate`, `appliance bench`, `scripts/soak`."""
