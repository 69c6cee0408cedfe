from typing import overload


@overload
def get(x: int) -> int: ...
@overload
def get(x: str) -> str: ...
def get(x):
    return x


class C:
    @overload
    def m(self, x: int) -> int: ...
    @overload
    def m(self, x: str) -> str: ...
    def m(self, x):
        return x
