import collections
import enum

Kind = enum.Enum("Kind", "A B")
Pair = collections.namedtuple("Pair", "left right")


def make():
    return Pair(1, 2)
