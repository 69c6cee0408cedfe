CASE = {
    "title": "an async def becomes a def, a generator function a plain one, and back",
    "must": "held references are of the new kind",
}


def check(h):
    import inspect

    m = h.load()
    load, items = m.load, m.items
    h.push()
    assert load() == 2 and items() == [3, 4] and not inspect.iscoroutinefunction(load)
    h.push("before")
    assert inspect.iscoroutinefunction(load) and list(items()) == [1, 2]
    load().close()
