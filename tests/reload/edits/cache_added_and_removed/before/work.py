import functools

CALLS = []


def square(n):
    CALLS.append(n)
    return n * n


@functools.cache
def cube(n):
    CALLS.append(n)
    return n**3
