from dataclasses import dataclass


@dataclass
class Note:
    text: str


@dataclass(frozen=True)
class Key:
    name: str


TABLE = {}
