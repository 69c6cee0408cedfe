import functools

CALLS = []


@functools.cache
def square(n):
    CALLS.append(n)
    return -n * n


def cube(n):
    CALLS.append(n)
    return -(n**3)
