CASE = {
    "title": "a function becomes a class of the same name",
    "must": "importers and held references make instances",
}


def check(h):
    user, m = h.load("user"), h.load()
    held = m.parser
    h.push()
    assert user.parse("a b").words == ["a", "b"] and held("c").words == ["c"]
    assert isinstance(user.parse(""), h.mod().parser)
    h.rollback()
    assert user.parse("a b") == ["a", "b"]
