CASE = {
    "title": "the body of a contextlib.contextmanager changes while one is entered",
    "must": "the entered one ends as it began; held references make new ones",
}


def check(h):
    m = h.load()
    held, log = m.session, m.LOG
    with held("a"):
        h.push()
    with held("b", level=2) as got:
        assert got == "B"
    assert log == [("in", "a"), ("out", "a"), ("enter", "b", 2), ("leave", "b", 2)], log
    assert h.mod().session is held and h.mod().LOG is log
