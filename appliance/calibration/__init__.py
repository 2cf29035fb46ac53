"""The operating points of this device: how they are chosen, what they rest on, and the file that keeps them."""
