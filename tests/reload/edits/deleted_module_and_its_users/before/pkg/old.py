STATE = []


def f():
    return "old"
