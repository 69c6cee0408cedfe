CASE = {
    "title": "an exception class moves below a new common one and gets a field",
    "must": "old frames, held classes and new handlers catch it; raised before the push, it is caught by the new class",
}


def check(h):
    m = h.load()
    held, find = m.NotFound, m.find
    try:
        find(1)
    except held as error:
        old = error
    h.push()
    m = h.mod()
    assert (
        m.guarded(find, 1) == 404
        and issubclass(held, m.AppError)
        and isinstance(old, m.AppError)
        and old.code == 404
    )
    try:
        find(2)
    except held as error:
        assert error.args == (2,)
