"""Who looks after a device from its command line: its people, the policy of its door, the record of decisions."""
