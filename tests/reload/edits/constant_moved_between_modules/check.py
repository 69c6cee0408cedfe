CASE = {
    "title": "a constant moves to another module, which the first now imports it from",
    "must": "all who take it from either see one value",
}


def check(h):
    user = h.load("user")
    h.load("limits")
    h.push()
    assert user.seen() == (7, {"a": 1, "b": 2}) and h.mod("config").TIMEOUT == h.mod("limits").TIMEOUT == 7
