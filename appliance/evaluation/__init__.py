"""How good is the face engine? Every accuracy figure, from labelled pictures, in this process or over a device's HTTP API."""
