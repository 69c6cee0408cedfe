from functools import singledispatch


@singledispatch
def show(thing):
    return "thing"


@show.register
def _(thing: int):
    return "int"
