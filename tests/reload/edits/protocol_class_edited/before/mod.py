from typing import Protocol, runtime_checkable


@runtime_checkable
class Sized(Protocol):
    def size(self): ...
