CASE = {
    "title": "an enumeration and a named tuple made by calls become class statements, none of which lives",
    "must": "as a cold start has them; users that import them have these",
}


def check(h):
    user = h.load("user")
    look = user.look
    held = user.Kind.A
    h.push()
    assert look() == (3, ["A", "B", "C"], ("left", "right")) and user.Pair(1, 2).both() == 3
    assert held is user.Kind.A
    h.rollback()
    assert look() == (1, ["A", "B"], ("left", "right"))
