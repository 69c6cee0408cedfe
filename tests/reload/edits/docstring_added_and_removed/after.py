def f():
    """Comes."""
    return 1


def g():
    return 1


class C:
    """Comes."""

    def m(self):
        return 1
