CASE = {
    "title": "a Generic class with a TypeVar changes, and gets another parameter",
    "must": "held aliases and live instances use the new methods",
}


def check(h):
    m = h.load()
    live, alias = m.Box(1), m.IntBox
    h.push()
    m = h.mod()
    assert live.get() == [1] and alias(2).get() == [2] and isinstance(live, m.Box)
    assert m.Box.__parameters__ == (m.T, m.D) and m.IntBox.__args__ == (int, str) and m.IntBox(3).get() == [3]
