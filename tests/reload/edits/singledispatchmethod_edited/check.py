CASE = {
    "title": "an implementation of a functools.singledispatchmethod changes and another is added",
    "must": "live instances dispatch to the new ones",
}


def check(h):
    m = h.load()
    shower = m.Shower()
    assert (shower.show(1), shower.show("a")) == ("int 1", "any a")
    h.push()
    assert (shower.show(1), shower.show("a"), shower.show(1.5)) == ("number 1", "text a", "any 1.5")
