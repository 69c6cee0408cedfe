CASE = {
    "title": "an import that nothing uses goes, and one is added",
    "must": "the names are as in a cold start",
}


def check(h):
    m = h.load()
    f = m.f
    h.push()
    m = h.mod()
    assert f()[0] == 2 and not any(hasattr(m, name) for name in ("json", "os", "OrderedDict"))
