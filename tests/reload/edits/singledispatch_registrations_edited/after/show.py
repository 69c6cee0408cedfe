from functools import singledispatch


@singledispatch
def show(thing):
    return "some thing"


@show.register
def _(thing: int):
    return "an int"
