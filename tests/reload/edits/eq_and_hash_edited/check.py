CASE = {
    "title": "a class gets __eq__ without __hash__, then both",
    "must": "hashability as in a cold start: __hash__ is None, then works",
}


def check(h):
    m = h.load()
    a, b = m.Key(1), m.Key(1)
    assert a != b and hash(a)
    h.push()
    assert a == b and h.mod().Key.__hash__ is None
    h.push("after2")
    assert hash(a) == hash(b) and {a, b} == {h.mod().Key(1)}
    h.push("before")
    assert a != b and hash(a) != hash(b)
