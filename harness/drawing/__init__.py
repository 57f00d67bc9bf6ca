"""Pictures of a topology: text for a terminal, SVG for a page; both draw the same `harness.drawing.tiers`."""
