"""What a fabric of hosts is made of: agents, their clocks and devices, runs on the wall clock, results."""
