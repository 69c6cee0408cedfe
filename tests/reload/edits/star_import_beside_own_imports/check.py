CASE = {
    "title": "a module gets an __all__; another has a star import of it and imports some of the same names itself",
    "must": "what the other imports itself stays",
}


def check(h):
    user = h.load("user")
    h.push()
    assert user.use() == "2"
    h.rollback()
    assert user.use() == "1" and user.json is h.mod().json
