CASE = {
    "title": "a class becomes a factory function of its name, imported elsewhere; an instance lives",
    "must": "users call the function; the instance goes on",
}


def check(h):
    user = h.load("user")
    work, one = user.work, user.Thing(1)
    h.push()
    assert work() == 80 and user.Thing is h.mod("things").Thing and one.double() == 2
    h.rollback()
    assert work() == 8 and isinstance(user.Thing, type)
