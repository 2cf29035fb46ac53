"""Speed, start and memory: `appliance bench` and `scripts/soak`."""
