import msgspec


class Part(msgspec.Struct):
    a: int = 1
