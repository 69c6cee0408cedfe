CASE = {
    "title": "an import with a fallback and a version switch go, for a plain import and one definition",
    "must": "users have the one that is left",
}


def check(h):
    user = h.load("user")
    save, dumps = user.save, user.dumps
    assert save(1) == ("1", "json")
    h.push()
    assert save(1) == ("[1]", "json") and dumps(1) == "[1]"
    h.rollback()
    assert save(1) == ("1", "json") and dumps(1) == "1"
