CASE = {
    "title": "a method of a NamedTuple changes",
    "must": "live tuples run it; the class is the same",
}


def check(h):
    m = h.load()
    held, live, bound = m.Point, m.Point(2, 3), m.Point(4, 5).norm
    h.push()
    assert live.norm() == 203 and bound() == 405 and live.flipped == (3, 2)
    assert h.mod().Point is held
