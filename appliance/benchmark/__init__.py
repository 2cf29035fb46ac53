"""Speed and memory of a device, as ratios to its own model invocations."""
