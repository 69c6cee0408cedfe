from dataclasses import dataclass


@dataclass(slots=True)
class Point:
    x: int
    y: int = 2

    def sum(self):
        return 10 * (self.x + self.y)


class Named(Point):
    name = "p"
