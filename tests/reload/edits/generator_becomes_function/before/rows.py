def numbers():
    yield 1
    yield 2


def letters():
    return ["a", "b"]
