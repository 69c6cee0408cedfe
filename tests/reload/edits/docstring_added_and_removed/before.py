def f():
    return 1


def g():
    """Goes."""
    return 1


class C:
    def m(self):
        """Goes."""
        return 1
