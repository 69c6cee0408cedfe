from collections import deque

import msgspec


class Frame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    n: int


class Envelope(msgspec.Struct):
    frame: Frame
    note: str


class Slotted:
    __slots__ = ("empty", "frame")

    def __init__(self, frame):
        self.frame = frame


class Session:
    usual = Frame(0)

    def __init__(self):
        one = Frame(1)
        self.list = [one, one]
        self.pairs = [("x", Frame(2)), ("y", (3, Frame(3)))]
        self.table = {1: Frame(4)}
        self.queue = deque([Frame(5)])
        self.all = {Frame(6)}
        self.envelope = Envelope(Frame(7), "seven")
        self.slotted = Slotted(Frame(8))
        self.direct = Frame(9)

    def reader(self, frame):
        return lambda: frame


SESSION = Session()
READER = SESSION.reader(Frame(10))


def frames():
    s = SESSION
    tuples = [s.pairs[0][1], s.pairs[1][1][1]]
    found = [
        s.usual,
        *s.list,
        *tuples,
        s.table[1],
        s.queue[0],
        *s.all,
        s.envelope.frame,
        s.slotted.frame,
        s.direct,
        READER(),
    ]
    return found
