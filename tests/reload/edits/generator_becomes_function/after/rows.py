def numbers():
    return [1, 2, 3]


def letters():
    yield from "abc"
