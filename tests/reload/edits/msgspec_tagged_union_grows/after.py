import msgspec


class Ping(msgspec.Struct, tag="ping"):
    n: int


class Pong(msgspec.Struct, tag="pong"):
    n: int


class Typing(msgspec.Struct, tag="typing"):
    who: str


FRAME = Ping | Pong | Typing
DECODER = msgspec.json.Decoder(FRAME)


def decode(data):
    return DECODER.decode(data)
