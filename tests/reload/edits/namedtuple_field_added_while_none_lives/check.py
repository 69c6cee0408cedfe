CASE = {
    "title": "a NamedTuple of which no instance lives gets a field, and a subclass uses it",
    "must": "new ones have it; a function that makes them, imported elsewhere, does so",
}


def check(h):
    user = h.load("user")
    assert user.total() == (3, 4, 2)
    h.push()
    assert user.total() == (6, 8, 3)
    h.rollback()
    assert user.total() == (3, 4, 2)
