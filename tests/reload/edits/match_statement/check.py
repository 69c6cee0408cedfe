CASE = {
    "title": "a match statement gets another case, with a class pattern",
    "must": "held references use it; the pattern's class is the live one",
}


def check(h):
    m = h.load()
    area, live = m.area, m.Circle(2)
    assert area(live) is None
    h.push()
    assert (area(live), area({"side": 3}), area([1, 2, 3]), area(0)) == (12, 9, 3, None)
