from typing import Generic, TypeVar

T = TypeVar("T")
D = TypeVar("D")


class Box(Generic[T, D]):
    def __init__(self, value: T, default: D = None) -> None:
        self.value = value

    def get(self) -> T:
        return [self.value]


IntBox = Box[int, str]
