"""Speed and memory of roce-sim on the topologies and sizes of published runs of ns-3 and htsim.

Nothing here passes or fails: wall-clock time belongs to the machine. ``python -m bench`` prints a table with
ratios; ``make bench`` does the same after set-up.
"""
