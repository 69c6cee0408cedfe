CASE = {
    "title": "a constant is used by another module's constants as `config.LIMIT`",
    "must": "functions see the new value; derived constants follow",
}


def check(h):
    m = h.load()
    f = m.f
    h.push()
    assert f(0) == (0, 5)
    assert (h.mod().DOUBLE, f()) == (10, (5, 5))
