CASE = {
    "title": "the top level of the last of three modules raises after others were changed and containers filled",
    "must": "refused; functions, classes, constants, lists and dicts of all three as before, new names gone",
}


def check(h):
    h.load("c")
    a, b = h.mod("a"), h.mod("b")
    thing, sub, names, table = a.Thing(), b.Sub(), a.NAMES, b.TABLE
    result = h.push(expect="refuse")
    assert "no" in result.errors[0]
    assert (thing.m(), sub.m(), a.LIMIT, b.LIMIT) == (1, 2, 1, 1)
    assert a.NAMES is names and names == ["a", "b"] and b.TABLE is table and table == {"x": 1}
    assert not hasattr(a, "EXTRA") and not hasattr(a.Thing, "more") and a.Thing is type(thing)
