import math

LIMIT = math.inf


def plain():
    raise KeyError("plain")


# about C
class C:

    def method(self):
        raise KeyError("method")


    @property
    def prop(self):
        raise KeyError("prop")


    @staticmethod
    def static():
        raise KeyError("static")


def outer():


    def inner():
        raise KeyError("inner")

    return inner


lam = lambda: {}["lam"]
