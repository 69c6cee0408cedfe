from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    text: str


@dataclass(unsafe_hash=True)
class Key:
    name: str


TABLE = {}
