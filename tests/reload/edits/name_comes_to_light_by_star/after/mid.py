"""It has moved."""
