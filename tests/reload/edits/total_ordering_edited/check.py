CASE = {
    "title": "__lt__ of a functools.total_ordering class changes",
    "must": "all comparisons of live instances follow",
}


def check(h):
    m = h.load()
    a, b = m.Rank(1), m.Rank(2)
    assert a < b and a <= b and b > a and b >= a
    h.push()
    assert b < a and b <= a and a > b and a >= b and sorted([a, b])[0] is b
