import functools


class Shower:
    @functools.singledispatchmethod
    def show(self, x):
        return f"any {x}"

    @show.register
    def _(self, x: int):
        return f"int {x}"
