CASE = {
    "title": "a regular expression compiled at the top level changes; functions and an importer use it",
    "must": "all use the new one, derived patterns too",
}


def check(h):
    user, m = h.load("user"), h.load()
    find = m.find
    assert user.seen("1-2") == (["1", "2"], True)
    h.push()
    assert find("ab-1") == ["ab", "1"] and user.seen("ab-1") == (["ab", "1"], True)
