CASE = {
    "title": "a msgspec.Struct gets a new optional field while an instance lives, then one that is required",
    "must": "the living instance answers for the optional one with its default; the required one is refused with the count",
}


def check(h):
    m = h.load()
    held, live = m.Frame, m.Frame(1)
    h.push()
    m = h.mod()
    assert live.n == 1 and live.reply_to is None and type(live) is held and m.version() == 2
    assert held(2).reply_to is None and m.Frame(1, "x").reply_to == "x" and m.Frame is not held
    new = m.Frame(3)
    required = (
        h.source().replace("    n: int\n", "    n: int\n    other: str\n").replace("return 2", "return 3")
    )
    result = h.push(files={"mod.py": required}, expect="refuse")
    assert h.mod().version() == 2 and h.mod().Frame is m.Frame and new.reply_to is None
    assert "1 of them is alive" in result.errors[0] and "Frame" in result.errors[0], result.errors
    del new
    h.push(files={"mod.py": required + "\n"})
    assert h.mod().version() == 3 and live.n == 1
