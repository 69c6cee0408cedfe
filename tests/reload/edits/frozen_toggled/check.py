CASE = {
    "title": "a dataclass becomes frozen, another thaws; instances live, as keys of a table",
    "must": "assignments fail or work as the new source says; the table finds its keys",
}


def check(h):
    m = h.load()
    note, key = m.Note("a"), m.Key("k")
    m.TABLE[key] = 1
    note.text = "b"
    h.push()
    assert m.TABLE[key] == 1 == m.TABLE[m.Key("k")]
    try:
        note.text = "c"
    except AttributeError:
        pass
    else:
        raise AssertionError("it is frozen")
    assert hash(note) == hash(m.Note("b"))
    key.name = "other"
    h.rollback()
    note.text = "c"
    assert note.text == "c" and key.name == "other"
