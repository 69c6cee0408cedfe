CASE = {
    "title": "a msgspec.Struct gets a new optional field while an instance lives",
    "must": "refused with nothing changed, also not the function beside it; or old and new instances both work",
}


def check(h):
    m = h.load()
    held, live = m.Frame, m.Frame(1)
    result = h.push(expect="any")
    assert live.n == 1 and isinstance(live, h.mod().Frame)
    if result.ok:
        assert live.reply_to is None and held(2).reply_to is None and m.version() == 2
    else:
        assert m.version() == 1 and m.Frame is held and not hasattr(live, "reply_to")
        assert "1" in result.errors[0] and "Frame" in result.errors[0], result.errors
        del live
        h.push("before")
        h.push()
        assert h.mod().Frame(1).reply_to is None and h.mod().version() == 2
