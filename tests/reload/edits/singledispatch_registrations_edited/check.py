CASE = {
    "title": "registrations of a singledispatch function in two modules: one changes its type, one goes, one comes",
    "must": "calls go where a cold start sends them, through the held function too",
}


def check(h):
    h.load("more")
    show = h.mod("show").show
    assert [show(x) for x in (1, [1], "a", b"", (2,))] == ["int", "list of int", "text", "thing", "thing"]
    h.push()
    expected = ["an int", "sequence of an int", "some thing", "bytes", "sequence of an int"]
    assert [show(x) for x in (1, [1], "a", b"", (2,))] == expected, [
        show(x) for x in (1, [1], "a", b"", (2,))
    ]
    h.rollback()
    assert [show(x) for x in (1, [1], "a", b"", (2,))] == ["int", "list of int", "text", "thing", "thing"]
