from typing import NamedTuple


class Size(NamedTuple):
    width: int
    height: int = 1
    depth: int = 2

    def area(self):
        return self.width * self.height * self.depth


def make():
    return Size(3)
