__all__ = ["one", "three", "two"]


def one():
    return 11


def two():
    return 2


def three():
    return 3
