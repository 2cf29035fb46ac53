"""Who looks after the people of a device from its command line: `appliance people`."""
