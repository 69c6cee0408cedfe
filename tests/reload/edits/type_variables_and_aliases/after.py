from typing import Generic, NewType, ParamSpec, TypeAlias, TypeVar

T = TypeVar("T", bound=str)
K = TypeVar("K")
P = ParamSpec("P")
UserId = NewType("UserId", str)
Rows: TypeAlias = "list[str]"


class Box(Generic[T, K]):
    def __init__(self, item):
        self.item = item

    def get(self) -> T:
        return "new", self.item


class IntBox(Box[int, K]):
    pass


def fetch(user: UserId, rows: Rows) -> Box[int, str]:
    return Box(user)
