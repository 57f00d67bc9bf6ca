"""RoCE fabric validation harness."""
