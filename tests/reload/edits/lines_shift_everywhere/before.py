def plain():
    raise KeyError("plain")


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
