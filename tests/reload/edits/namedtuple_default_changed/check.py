CASE = {
    "title": "the default of a NamedTuple's field changes while tuples live",
    "must": "new ones have the new default, also by a class reference held elsewhere; live ones are of the class and equal as before",
}


def check(h):
    user, m = h.load("user"), h.load()
    held, live = m.Point, m.Point(5)
    h.push()
    assert held(5) == (5, 2) and user.make() == (5, 2) and h.mod().Point(5) == (5, 2)
    assert isinstance(live, h.mod().Point) and live == (5, 1) and live._replace(x=1) == (1, 1)
    assert h.mod().Point._field_defaults == {"y": 2}
