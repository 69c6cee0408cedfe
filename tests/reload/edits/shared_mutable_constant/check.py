CASE = {
    "title": "a dict constant is shared by another constant, a class attribute and a default; its literal changes type and back",
    "must": "all of them are the one new object at each version, as in a cold start",
}


def check(h):
    m = h.load()
    user, find = m.User(), m.find
    for which, b in (("after", None), ("after2", 3), ("before", None), ("after2", 3)):
        h.push(which)
        m = h.mod()
        assert m.ALIAS is m.TABLE and user.table is m.TABLE and find.__defaults__[0] is m.TABLE, which
        assert find("b") == b, which
