from typing import Generic, NewType, ParamSpec, TypeAlias, TypeVar

T = TypeVar("T", bound=int)
P = ParamSpec("P")
UserId = NewType("UserId", int)
Rows: TypeAlias = "list[int]"


class Box(Generic[T]):
    def __init__(self, item):
        self.item = item

    def get(self) -> T:
        return self.item


class IntBox(Box[int]):
    pass


def fetch(user: UserId, rows: Rows) -> Box[int]:
    return Box(user)
