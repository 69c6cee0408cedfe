CASE = {
    "title": "bodies behind functools.cache (function, staticmethod) change",
    "must": "no stale result by the name or by a held reference; an untouched cached function keeps its results",
}


def check(h):
    m = h.load()
    area, corners = m.area, m.Shape.corners
    assert (area(3), corners(3), m.untouched(1)) == (9, 3, 1)
    h.push()
    m = h.mod()
    assert (area(3), m.area(3)) == (10, 10) and (corners(3), m.Shape.corners(3)) == (4, 4)
    m.untouched(1)
    assert m.CALLS == [1]
