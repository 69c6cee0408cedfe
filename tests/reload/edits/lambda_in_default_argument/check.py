CASE = {
    "title": "a lambda as a default argument, and one as a keyword-only default, change",
    "must": "held references use the new ones",
}


def check(h):
    m = h.load()
    pick, order = m.pick, m.Table().order
    assert pick([1, 3, 2]) == 3
    h.push()
    assert pick([1, 3, 2]) == (1,) and order([1, 3, 2]) == [3, 2, 1]
