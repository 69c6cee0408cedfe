from typing import NamedTuple


class Point(NamedTuple):
    x: int
    y: int = 1

    def norm(self):
        return self.x + self.y
