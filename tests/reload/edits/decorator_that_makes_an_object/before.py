import functools


class Counted:
    def __init__(self, fn):
        self.fn = fn
        self.calls = 0

    def __call__(self, *args):
        self.calls += 1
        return "counted", self.fn(*args)


class Marked:
    __slots__ = ("fn",)
    __hash__ = None

    def __init__(self, fn):
        self.fn = fn

    def __eq__(self, other):
        return isinstance(other, Marked)

    def __call__(self, *args):
        return "marked", self.fn(*args)


def wrapped(fn):
    @functools.wraps(fn)
    def run(*args):
        return "wrapped", fn(*args)

    return run


class Bound:
    def __init__(self, fn):
        self.fn = fn

    def __get__(self, instance, owner=None):
        return self if instance is None else lambda *args: ("bound", self.fn(instance, *args))


def g():
    return 1


def h(x=1):
    return x


def made():
    return 1


class Shop:
    def price(self):
        return 1

    def size(self):
        return 1

    def name(self):
        return "shop"


class Corner(Shop):
    def price(self):
        return super().size() + 1
