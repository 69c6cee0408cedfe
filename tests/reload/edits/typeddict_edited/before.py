from typing import NotRequired, TypedDict


class User(TypedDict):
    name: str


def make(name) -> User:
    return {"name": name}
