from lazy import g


def f():
    return g()
