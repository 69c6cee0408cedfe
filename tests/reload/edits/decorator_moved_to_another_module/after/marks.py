import functools

X = 1


def times(count):
    def decorate(fn):
        @functools.wraps(fn)
        def inner(*args):
            return tuple(fn(*args) for _ in range(count))

        return inner

    return decorate
