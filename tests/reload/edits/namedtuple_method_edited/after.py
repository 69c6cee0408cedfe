from typing import NamedTuple


class Point(NamedTuple):
    x: int
    y: int = 1

    def norm(self):
        return self.x * 100 + self.y

    @property
    def flipped(self):
        return Point(self.y, self.x)
