"""The pictures of the documentation, made from a real node."""
