CASE = {
    "title": "a method of a dataclass with frozen and slots changes",
    "must": "live instances run the new method, stay frozen, equal and hashable",
}


def check(h):
    import dataclasses

    m = h.load()
    held, live, table = m.Money, m.Money(3), {m.Money(3): "three"}
    h.push()
    assert live.shown() == "EUR 3.00" and live.doubled() == h.mod().Money(6)
    assert h.mod().Money is held and table[h.mod().Money(3)] == "three"
    try:
        live.amount = 4
    except dataclasses.FrozenInstanceError:
        return
    raise AssertionError("no longer frozen")
