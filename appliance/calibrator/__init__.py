"""`appliance calibrate`: finds the operating points of this device and keeps them."""
