import functools


def loud(fn):
    @functools.wraps(fn)
    def run(*args):
        return fn(*args).upper()

    return run


def hello():
    return "hello"


greet = hello
TABLE = {"hello": hello, "greet": greet}
