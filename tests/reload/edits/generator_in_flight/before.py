def scale(n):
    return n


def numbers():
    for n in range(3):
        yield scale(n)
