CASE = {
    "title": "a class gets a decorator, so that all of it is made anew, and the annotation of a table in it changes",
    "must": "what the tables of the class hold is kept: one with another annotation, and a private one",
}


def check(h):
    mod = h.load()
    users = mod.Users()
    assert users.note("anna") == 1
    h.push()
    assert users.note("ben") == 2 and set(mod.Users.known) == {"anna", "ben"}
    assert mod.Users.__annotations__["known"] == dict[str, bool]
    h.rollback()
    assert (
        users.note("carl") == 3 and len(mod.Users.known) == 3 and mod.Users.__annotations__["known"] is dict
    )
