CASE = {
    "title": "a loop at top level makes handlers that close over its variable, by default and by a maker",
    "must": "the table is refilled; old handlers of the maker run its new code with what they closed over, old lambdas theirs",
}


def check(h):
    m = h.load()
    table, held = m.HANDLERS, dict(m.HANDLERS)
    assert table["b"](2) == ("b", 2) and table["b!"](2) == ("direct", 3)
    h.push()
    assert m.HANDLERS is table and table["b"](2) == ("B", 22) and table["c!"](2) == ("new", 14)
    assert held["b"](2) == ("B", 2) and held["b!"](2) == ("direct", 3)
