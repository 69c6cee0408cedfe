CASE = {
    "title": "partials of a function here and of one elsewhere, at top level and as defaults, whose arguments change",
    "must": "held partials run the new function; those under their names have the new arguments",
}


def check(h):
    user = h.load("user")
    work, held, maths = user.work, user.square, user.Maths()
    assert work(2) == (4, 4, 4)
    h.push()
    assert work(2) == (9, 9, [40]) and held(2) == 104 and maths.double(1) == [20]
    h.rollback()
    assert work(2) == (4, 4, 4) and held(2) == 4
