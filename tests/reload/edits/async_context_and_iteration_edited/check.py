CASE = {
    "title": "a class with __aenter__, __aexit__, __anext__ changes while a coroutine is inside of it",
    "must": "the coroutine goes on in its own code; what it calls next is new",
}


def run(coroutine):
    steps = []
    try:
        while True:
            steps.append(coroutine.send(None))
    except StopIteration as end:
        return end.value, steps


def check(h):
    m = h.load()
    read, source = m.read, m.Source()
    running = read(source)
    assert running.send(None) == "pause"
    h.push()
    found, steps = run(running)
    assert found == [("old", 2), ("new", 0)] and steps == ["pause", "again"] and source.left == "new end"
    assert run(read(m.Source()))[0] == ["fresh", ("new", 1), ("new", -1)]
