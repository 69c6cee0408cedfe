CASE = {
    "title": "a property becomes a cached_property, and a cached one a plain method; instances live",
    "must": "living instances have the new ones; what was cached before does not stand in the way of another kind",
}


def check(h):
    m = h.load()
    one = m.Report([1, 2])
    assert (one.total, one.total, one.made, one.longest) == (3, 3, 2, 2)
    h.push()
    assert (one.total, one.total, one.made, one.longest) == (30, 30, 3, 20)
    h.rollback()
    assert one.longest == 2 and m.Report([5]).total == 5
