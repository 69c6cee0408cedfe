CASE = {
    "title": "the same slots in another order; empty slots where a base has a dict anyway",
    "must": "live instances stay and go by the new order; back again",
}


def check(h):
    m = h.load()
    point, tag = m.Point(1, 2), m.Tag()
    assert point.listed() == [1, 2]
    h.push()
    assert point.listed() == [2, 1] and type(point) is h.mod().Point and type(tag) is h.mod().Tag
    h.rollback()
    assert point.listed() == [1, 2] and not hasattr(tag, "__slots__")
