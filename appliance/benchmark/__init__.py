"""Speed and memory of a device, beside what its models alone cost and beside its peers: `appliance bench`."""
