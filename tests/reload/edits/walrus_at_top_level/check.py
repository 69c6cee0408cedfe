CASE = {
    "title": "an assignment expression at the top level changes",
    "must": "all names of the statement follow, and what is derived from them",
}


def check(h):
    user = h.load("user")
    assert user.seen() == ("big", 6, 3, 1)
    h.push()
    m = h.mod()
    assert (m.SIZE, m.TWICE, m.limit, m.low, m.PAIR) == ("small", 4, 2, 5, [5, 6])
    assert user.seen() == ("small", 4, 2, 5)
