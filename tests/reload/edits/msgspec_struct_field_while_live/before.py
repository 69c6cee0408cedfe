import msgspec


class Frame(msgspec.Struct):
    n: int


def version():
    return 1
