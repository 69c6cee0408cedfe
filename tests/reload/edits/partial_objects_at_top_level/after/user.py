from functools import partial, partialmethod

from base import power

square = partial(power, exponent=3, plus=1)


class Maths:
    def run(self, n, factor):
        return [n * factor]

    double = partialmethod(run, factor=20)


def work(n, shape=square):
    return square(n), shape(n), Maths().double(n)
