import functools


class Peer:
    """A peer, near or far."""

    @property
    def address(self):
        """Where it is, by its own account."""
        return 1

    @functools.cached_property
    def name(self):
        """What it is called, in short."""
        return object()
