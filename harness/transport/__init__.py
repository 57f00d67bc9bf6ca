"""Ways to run a command on a lab machine."""
