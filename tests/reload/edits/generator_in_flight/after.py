def scale(n):
    return n * 10


def numbers():
    yield "new"
    for n in range(3):
        yield scale(n)
