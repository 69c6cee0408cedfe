import enum


class Code(enum.IntEnum):
    OK = 1
    GONE = 20


class Word(enum.StrEnum):
    YES = "oui"


NAMES = {Code.OK: "ok", Code.GONE: "gone"}


def wire(code):
    return bytes([code])
