"""Old module."""

RUNS = []
RUNS.append(1)


def f():
    """Old function."""
    return f.__doc__


class C:
    """Old class."""

    def m(self):
        """Old method."""
