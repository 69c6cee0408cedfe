"""New module."""

RUNS = []
RUNS.append(1)


def f():
    """New function."""
    return f.__doc__


class C:
    """New class."""

    def m(self):
        """New method."""
