CASE = {
    "title": "two versions of a module with a bit of everything alternate twenty times, by push and by roll-back",
    "must": "each time as a cold start; held references follow; the state stays",
}


def check(h):
    m = h.load()
    use, helper, item, state, a = m.use, m.helper, m.Item("i"), m.STATE, m.Kind.A
    state["kept"] = 1
    for turn in range(20):
        h.push()
        Kind = h.mod().Kind
        assert use(1) == (("deco", ("two", 1)), 2, [a, Kind.B]) and helper(2) == ("deco", ("two", 2)), turn
        assert item.shown() == "i/1/2/t" and type(item)("x").n == 2
        h.rollback() if turn % 2 else h.push("before")
        assert use(1) == (("one", 1), 1, [a]) and helper(2) == ("one", 2) and item.shown() == "i:1:1", turn
        assert h.mod().STATE is state == {"kept": 1} and not hasattr(h.mod(), "deco") and a is h.mod().Kind.A
