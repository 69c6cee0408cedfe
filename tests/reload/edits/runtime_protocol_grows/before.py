from typing import Protocol, runtime_checkable


@runtime_checkable
class Closable(Protocol):
    def close(self): ...


class Door:
    def close(self):
        return "shut"


class Gate(Door):
    def open(self):
        return "open"


def which(thing):
    return isinstance(thing, Closable)
