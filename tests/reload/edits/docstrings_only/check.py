CASE = {
    "title": "only docstrings change: of the module, a function, a class, a method",
    "must": "all are new, by held references; no statement runs",
}


def check(h):
    m = h.load()
    f, c = m.f, m.C()
    h.push()
    m = h.mod()
    assert (m.__doc__, f(), m.C.__doc__, c.m.__doc__) == (
        "New module.",
        "New function.",
        "New class.",
        "New method.",
    )
    assert m.RUNS == [1] and type(c) is m.C
