"""Applications that run on a node."""
