CASE = {
    "title": "name-mangled attributes, and super() in a nested class's method, change",
    "must": "mangling is right; live instances of the nested class work",
}


def check(h):
    m = h.load()
    outer, inner = m.Outer(), m.Outer.Inner()
    h.push()
    assert outer.show() == (6, "extra") and inner.m() == "jbase2" and isinstance(inner, h.mod().Outer.Inner)
