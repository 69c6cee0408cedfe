CASE = {
    "title": "__all__ gains a name that another module takes by star",
    "must": "the importer has the name, and the changed function",
}


def check(h):
    user = h.load("user")
    one = user.one
    assert user.seen() == (["one"], 1)
    h.push()
    assert user.seen() == (["one", "three", "two"], 11) and one() == 11 and user.three() == 3
