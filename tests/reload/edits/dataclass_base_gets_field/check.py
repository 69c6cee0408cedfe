CASE = {
    "title": "a base dataclass in another module gets a field with a default and a ClassVar; dataclasses derive from it",
    "must": "the derived ones' constructors, fields, repr and == are as in a cold start; live instances work on",
}


def check(h):
    import dataclasses

    m = h.load()
    Login, live = m.Login, m.Login("in", "anna")
    h.push()
    m = h.mod()
    assert [f.name for f in dataclasses.fields(m.Login)] == ["name", "code", "user"]
    assert [f.name for f in dataclasses.fields(m.Deep)] == ["name", "code", "user", "more"]
    new = Login("in", 8, "bea")
    assert repr(new) == "Login(name='in', code=8, user='bea')" and m.Deep("x", more=3).code == 7
    assert live.shown() == "in by anna" and live.code == 7 and "code=7" in repr(live) and live != new
    h.rollback()
    assert repr(h.mod().Login("in", "c")) == "Login(name='in', user='c')" and live.shown() == "in by anna"
