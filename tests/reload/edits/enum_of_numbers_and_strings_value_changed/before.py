import enum


class Code(enum.IntEnum):
    OK = 1
    GONE = 2


class Word(enum.StrEnum):
    YES = "yes"


NAMES = {Code.OK: "ok", Code.GONE: "gone"}


def wire(code):
    return bytes([code])
