"""The words of the harness: data and rules, no lab access. Imports nothing from the rest of the harness."""
