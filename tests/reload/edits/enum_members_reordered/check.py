CASE = {
    "title": "members of an enumeration change places",
    "must": "iteration and auto() are those of a cold start; members keep their identity",
}


def check(h):
    m = h.load()
    low = m.Level.LOW
    h.push()
    assert m.Level.LOW is low and low.value == 3 and m.rank(low) == 2 and m.Level(1).name == "HIGH"
    assert [one.name for one in m.Level] == ["HIGH", "MIDDLE", "LOW"]
    h.rollback()
    assert m.rank(low) == 0 and low.value == 1
