CASE = {
    "title": "the order of a class's __match_args__ and a dataclass's fields change; a match uses them by position",
    "must": "held instances match by the new order",
}


def check(h):
    m = h.load()
    point, pair, look = m.Point(0, 5), m.Pair(1, 9), m.look
    assert look(point) == ("on the axis", 5) and look(pair) == ("pair", 1, 9, 10)
    h.push()
    assert look(point) == "other" and look(m.Point(7, 0)) == ("on the axis", 7)
    assert look(pair) == ("pair", 9, 1, 10) and look({"kind": "c"}) == "other" and look([1]) == "other"
    h.rollback()
    assert look(point) == ("on the axis", 5) and look(pair) == ("pair", 1, 9, 10)
