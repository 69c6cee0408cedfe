import functools

CALLS = []


@functools.cache
def area(n):
    return n * n


class Shape:
    @staticmethod
    @functools.cache
    def corners(n):
        return n


@functools.cache
def untouched(n):
    CALLS.append(n)
    return n
