import math

LIMIT = math.inf


def plain():
    raise KeyError("plain")


# about C
class C:
    # one line more
    def method(self):
        raise KeyError("method")

    # and here
    @property
    def prop(self):
        raise KeyError("prop")

    # and there
    @staticmethod
    def static():
        raise KeyError("static")


def outer():
    # and within
    def inner():
        raise KeyError("inner")

    return inner


lam = lambda: {}["lam"]
