from first import BASE

MIDDLE = BASE * 2


def limit(n=MIDDLE):
    return n
