CASE = {
    "title": "a dataclass gets slots, first while instances live and then while none does",
    "must": "with instances: refused, and nothing has changed; without: it has them, for its subclass as well; and back",
}


def check(h):
    m = h.load()
    Point, point = m.Point, m.Point(1)
    result = h.push(expect="refuse")
    assert "Point" in result.errors[0]
    assert point.sum() == 3 and h.mod().Point is Point and not hasattr(Point, "__slots__")
    for path, text in h.prev.items():
        h._write(path, text)
    del point
    h.push()
    assert h.mod().Point(1).sum() == 30 and h.mod().Named(1).sum() == 30
    assert not hasattr(h.mod().Point(1), "__dict__")
    h.rollback()
    assert h.mod().Point(1).sum() == 3 and h.mod().Point(1).__dict__ == {"x": 1, "y": 2}
