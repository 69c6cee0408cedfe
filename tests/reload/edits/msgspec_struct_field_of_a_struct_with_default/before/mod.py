import msgspec

from parts import Part


class Whole(msgspec.Struct):
    one: Part | None = None
    many: list[Part] = []


DECODER = msgspec.json.Decoder(dict[str, Whole])


def read(text):
    return DECODER.decode(text)["k"]
