CASE = {
    "title": "a typing.overload group and its implementation change",
    "must": "the implementation is what the name means, for held references too",
}


def check(h):
    m = h.load()
    get, bound = m.get, m.C().m
    h.push()
    assert get(1) == h.mod().get(1) == [1] and bound(2) == [2]
