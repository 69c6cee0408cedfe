import enum
from dataclasses import dataclass

STATE = {}
LIMIT = 1


class Kind(enum.Enum):
    A = 1


@dataclass
class Item:
    name: str
    n: int = LIMIT

    def shown(self):
        return f"{self.name}:{self.n}:{LIMIT}"


def helper(x):
    return ("one", x)


def use(x, *, n=LIMIT):
    return helper(x), n, list(Kind)
