import enum
from typing import NamedTuple


class Kind(enum.Enum):
    A = 1
    B = 2
    C = 3


class Pair(NamedTuple):
    left: int
    right: int

    def both(self):
        return self.left + self.right


def make():
    return Pair(3, 4)
