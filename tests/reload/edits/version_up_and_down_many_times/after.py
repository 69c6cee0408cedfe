import enum
from dataclasses import dataclass

STATE = {}
LIMIT = 2


class Kind(enum.Enum):
    A = 1
    B = 2


@dataclass
class Item:
    name: str
    n: int = LIMIT
    tag: str = "t"

    def shown(self):
        return f"{self.name}/{self.n}/{LIMIT}/{self.tag}"


def deco(fn):
    return lambda *args: ("deco", fn(*args))


@deco
def helper(x):
    return ("two", x)


def use(x, *, n=LIMIT):
    return helper(x), n, list(Kind)
