import msgspec


class Frame(msgspec.Struct, tag="frame"):
    n: int
    reply_to: str | None = None


DECODER = msgspec.json.Decoder(Frame)


def decode(data):
    return DECODER.decode(data)
