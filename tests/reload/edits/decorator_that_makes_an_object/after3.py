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


@Counted
def g():
    return 2


@wrapped
def h(x=5):
    return x


class made:
    n = 2


class Shop:
    @Bound
    def price(self):
        return 2

    def size(self):
        return 1

    @Marked
    def name(self="shop"):
        return self


class Corner(Shop):
    @Bound
    def price(self):
        return super().size() + 1
