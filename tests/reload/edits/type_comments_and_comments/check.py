CASE = {
    "title": "only comments change, type comments among them",
    "must": "nothing runs again; lines are right",
}


def check(h):
    m = h.load()
    x, f = m.X, m.f
    h.push()
    assert h.mod().X is x and h.mod().RUNS == [1]
    try:
        f(1)
    except KeyError as error:
        assert error.__traceback__.tb_next.tb_lineno == h.line_of("raise KeyError")
