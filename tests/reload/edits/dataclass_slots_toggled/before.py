from dataclasses import dataclass


@dataclass
class Point:
    x: int
    y: int = 2

    def sum(self):
        return self.x + self.y


class Named(Point):
    name = "p"
