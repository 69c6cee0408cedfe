import functools


class Peer:
    """A peer."""

    @property
    def address(self):
        """Where it is."""
        return 1

    @functools.cached_property
    def name(self):
        """What it is called."""
        return object()
