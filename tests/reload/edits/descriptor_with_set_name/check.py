CASE = {
    "title": "a descriptor class with __set_name__ and a class that uses it change",
    "must": "live instances go through the new descriptor, which knows its name",
}


def check(h):
    m = h.load()
    old, fresh = m.Person(), m.Person()
    old.age = 5
    h.push()
    assert old.age == ("age", 5) and fresh.age == ("age", 18) and old.size == ("size", 1)
    old.size = "7"
    assert old.size == ("size", 7)
