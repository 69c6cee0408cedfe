from typing import NotRequired, TypedDict


class User(TypedDict):
    name: str
    age: NotRequired[int]


def make(name, age=None) -> User:
    return {"name": name, "age": age}
