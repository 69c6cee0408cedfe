"""Nothing of the name yet."""
