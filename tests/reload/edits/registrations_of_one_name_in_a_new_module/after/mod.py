import functools

VERSION = 2


@functools.singledispatch
def shown(value=None):
    return "any"


@shown.register
def _(value: list):
    return "list"


@shown.register
def _(value: int):
    return "int"
