"""Bindings realise a topology as a fabric: one module a kind, found by name, each with `reserve`."""
