import functools


class Shower:
    @functools.singledispatchmethod
    def show(self, x):
        return f"any {x}"

    @show.register
    def _(self, x: int):
        return f"number {x}"

    @show.register
    def _(self, x: str):
        return f"text {x}"
