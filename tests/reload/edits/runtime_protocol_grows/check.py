CASE = {
    "title": "a runtime_checkable Protocol asks for one more method; classes that have it and lack it live",
    "must": "isinstance answers as the new protocol does, also where the class had been asked before",
}


def check(h):
    m = h.load()
    door, gate, which = m.Door(), m.Gate(), m.which
    assert which(door) and which(gate)
    h.push()
    assert not which(door) and which(gate)
    h.rollback()
    assert which(door) and which(gate)
