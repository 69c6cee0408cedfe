from .old import f


def g():
    return "new over " + f()
