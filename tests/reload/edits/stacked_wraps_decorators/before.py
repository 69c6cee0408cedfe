import functools


def loud(fn):
    @functools.wraps(fn)
    def run(*args):
        return fn(*args).upper()

    return run


def twice(fn):
    @functools.wraps(fn)
    def run(*args):
        return fn(*args) + "|" + fn(*args)

    return run


@loud
@twice
def hello(name):
    return "hello " + name
