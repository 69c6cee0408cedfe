CASE = {
    "title": "a docstring comes and another goes",
    "must": "__doc__ as in a cold start",
}


def check(h):
    m = h.load()
    f, g, c = m.f, m.g, m.C()
    h.push()
    assert (f.__doc__, g.__doc__, c.m.__doc__, type(c).__doc__) == ("Comes.", None, None, "Comes.")
