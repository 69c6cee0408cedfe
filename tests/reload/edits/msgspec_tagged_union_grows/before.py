import msgspec


class Ping(msgspec.Struct, tag="ping"):
    n: int


class Pong(msgspec.Struct, tag="pong"):
    n: int


FRAME = Ping | Pong
DECODER = msgspec.json.Decoder(FRAME)


def decode(data):
    return DECODER.decode(data)
