CASE = {
    "title": "two bases change places",
    "must": "live instances resolve in the new order",
}


def check(h):
    m = h.load()
    both, sub = m.Both(), m.Sub()
    h.push()
    m = h.mod()
    assert both.side() == "right" and sub.side() == "sub right" and m.Sub().side() == "sub right"
    assert isinstance(both, m.Both) and isinstance(sub, m.Both)
