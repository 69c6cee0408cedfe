STATE = []


def f():
    return "first"
