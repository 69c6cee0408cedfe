CASE = {
    "title": "the fields of a dataclass that another module derives from change places",
    "must": "the derived one's constructor takes them in the new order, living instances keep their values",
}


def check(h):
    m = h.load("derived")
    one, make = m.Derived(1, 2), m.make
    h.push()
    assert make() == (2, 1, 3) and (one.first, one.second) == (1, 2)
    assert repr(one) == "Derived(second=2, first=1, third=3)"
    assert h.mod("base").make() == h.mod("base").Base(second=1, first=2)
    h.rollback()
    assert make() == (1, 2, 3)
