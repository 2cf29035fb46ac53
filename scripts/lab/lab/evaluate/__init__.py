"""Accuracy on labelled pictures: `appliance evaluate`."""
