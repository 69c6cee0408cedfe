from dataclasses import dataclass


@dataclass
class Base:
    first: int
    second: int


def make():
    return Base(1, 2)
