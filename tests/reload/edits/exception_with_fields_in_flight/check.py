CASE = {
    "title": "an exception class gets fields and a new base while one is being handled",
    "must": "the handler that catches it works; the new base catches it too",
}


def check(h):
    m = h.load()
    running, handle, old = m.handle(), m.handle, m.NotFound("y")
    next(running)
    h.push()
    assert next(running) == ("caught", "x there", True)
    assert [*handle()][1] == ("new", "x there", 404)
    assert isinstance(old, m.AppError) and old.what == "y"
    try:
        raise old
    except m.NotFound as error:
        assert error is old
