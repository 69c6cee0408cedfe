CASE = {
    "title": "a field with a default goes from a dataclass",
    "must": "new instances have it no more, also in repr and ==; old ones still work",
}


def check(h):
    m = h.load()
    held, live = m.Entry, m.Entry("k", "!")
    h.push()
    assert live.shown() == "K" and repr(live) == "Entry(key='k')" and live == held("k")
    try:
        held("k", "!")
    except TypeError:
        return
    raise AssertionError("the old constructor is still there")
