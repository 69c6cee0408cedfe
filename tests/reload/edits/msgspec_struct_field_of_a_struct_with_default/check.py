CASE = {
    "title": "a Struct gains an optional field; another has it as a field with a default, only its annotation names it",
    "must": "what is decoded and what lives is of the new class, also inside the other",
}


def check(h):
    m = h.load()
    text = '{"k": {"one": {"a": 2, "b": "q"}, "many": [{"b": "r"}]}}'
    box = [m.read(text)]  # not a variable of this function: what a stack holds stays of the old class
    h.push()
    whole = m.read(text)
    assert (whole.one.b, whole.many[0].b, type(whole.one)) == ("q", "r", m.Part) and isinstance(
        whole, m.Whole
    )
    assert (box[0].one.a, box[0].one.b, box[0].many[0].b) == (2, "x", "x") and isinstance(box[0].one, m.Part)
    assert isinstance(box[0], m.Whole)
    h.rollback()
    assert not hasattr(m.read(text).one, "b") and type(m.read(text).one) is m.Part
