CASE = {
    "title": "a constant becomes a function and a function a constant; both were imported",
    "must": "users have what the name means now",
}


def check(h):
    user = h.load("user")
    look = user.look
    assert look() == (6, True)
    h.push()
    assert look() == (8, False)
    h.rollback()
    assert look() == (6, True)
