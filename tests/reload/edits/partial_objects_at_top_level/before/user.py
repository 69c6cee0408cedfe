from functools import partial, partialmethod

from base import power

square = partial(power, exponent=2)


class Maths:
    def run(self, n, factor):
        return n * factor

    double = partialmethod(run, factor=2)


def work(n, shape=square):
    return square(n), shape(n), Maths().double(n)
