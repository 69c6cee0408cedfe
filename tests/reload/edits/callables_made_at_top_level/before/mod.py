import functools
import operator


def add(a, b):
    return a + b


class Scale:
    def __init__(self, n):
        self.n = n

    def __call__(self, x):
        return x * self.n


INC = functools.partial(add, 1)
REAL = operator.attrgetter("real")
DOUBLE = Scale(2)
