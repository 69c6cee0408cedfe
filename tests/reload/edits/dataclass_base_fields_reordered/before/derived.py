from dataclasses import dataclass

from base import Base


@dataclass
class Derived(Base):
    third: int = 3


def make():
    one = Derived(1, 2)
    return one.first, one.second, one.third
