from dataclasses import dataclass


@dataclass
class Base:
    second: int
    first: int


def make():
    return Base(1, 2)
