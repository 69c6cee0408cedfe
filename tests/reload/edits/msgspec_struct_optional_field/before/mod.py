import msgspec


class Frame(msgspec.Struct, tag="frame"):
    n: int


DECODER = msgspec.json.Decoder(Frame)


def decode(data):
    return DECODER.decode(data)
