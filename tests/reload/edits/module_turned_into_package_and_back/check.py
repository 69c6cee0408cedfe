CASE = {
    "title": "a module becomes a package of the same name, with a part of it in a submodule, and again a module",
    "must": "users of its names have them all the time",
}


def check(h):
    user = h.load("user")
    both, high = user.both, user.high
    h.push()
    assert both() == (2, 102) and high() == 102 and h.mod("lib.parts").low() == 2
    h.rollback()
    assert both() == (1, 11) and high() == 11
