CASE = {
    "title": "class attributes built from each other, and a method alias, change",
    "must": "derived attributes and the alias follow for live instances",
}


def check(h):
    m = h.load()
    live = m.Codec()
    h.push()
    assert live.table == {"a": 0, "b": 1, "c": 2} and live.size == 3
    assert live.encode(1) == live.dumps(1) == ("new", 1, True)
