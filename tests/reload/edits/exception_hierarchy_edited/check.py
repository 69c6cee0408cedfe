CASE = {
    "title": "an exception class moves below a new common one and gets a field",
    "must": "importers, registries and new handlers catch it; one raised before the push is of the new class",
}


def check(h):
    user, m = h.load("user"), h.load()
    find = m.find
    try:
        find(1)
    except m.NotFound as error:
        old = error
    h.push()
    m = h.mod()
    assert m.guarded(find, 1) == 404 and user.use(find) == (1,)
    assert isinstance(old, m.AppError) and isinstance(old, m.NotFound) and old.code == 404
    assert user.KNOWN["missing"] is user.NotFound is m.NotFound and issubclass(m.NotFound, m.AppError)
    h.rollback()
    assert user.use(find) == (1,) and isinstance(old, h.mod().NotFound) and not hasattr(old, "code")
