CASE = {
    "title": "an async generator function changes while one is suspended",
    "must": "the suspended one ends in its old body, a new one is new, and it is still an async generator function",
}


def check(h):
    import inspect

    def step(it):
        try:
            it.__anext__().send(None)
        except StopIteration as got:
            return got.value
        except StopAsyncIteration:
            return "end"

    m = h.load()
    make, running = m.ticks, m.ticks()
    assert step(running) == 1
    h.push()
    new = make()
    assert [step(running), step(running)] == [2, "end"]
    assert [step(new) for _ in range(4)] == [10, 20, 30, "end"]
    assert inspect.isasyncgenfunction(h.mod().ticks) and h.mod().ticks is make
