CASE = {
    "title": "a Struct gains an optional field; another has it as a field with a default, only its annotation names it",
    "must": "what is decoded and what lives is of the new class, also inside the other",
}


def check(h):
    m = h.load()
    text = '{"k": {"one": {"a": 2, "b": "q"}, "many": [{"b": "r"}]}}'
    held = m.read(text)
    h.push()
    whole = m.read(text)
    assert (whole.one.b, whole.many[0].b, type(whole.one)) == ("q", "r", m.Part) and isinstance(
        whole, m.Whole
    )
    assert (held.one.a, held.one.b, held.many[0].b) == (2, "x", "x") and isinstance(held.one, m.Part)
    h.rollback()
    assert not hasattr(m.read(text).one, "b") and type(m.read(text).one) is m.Part
