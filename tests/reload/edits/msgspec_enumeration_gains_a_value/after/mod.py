import msgspec

from kinds import Code, Kind


class Note(msgspec.Struct):
    kind: Kind | None = None
    code: Code = Code.OK


DECODER = msgspec.json.Decoder(list[Note])


def read(text):
    return msgspec.json.decode(text, type=Note)
