from typing import overload


@overload
def get(x: int) -> int: ...
@overload
def get(x: str) -> str: ...
@overload
def get(x: None) -> None: ...
def get(x):
    return [x]


class C:
    @overload
    def m(self, x: int) -> int: ...
    @overload
    def m(self, x: bytes) -> bytes: ...
    def m(self, x):
        return [x]
