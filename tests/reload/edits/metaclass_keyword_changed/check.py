CASE = {
    "title": "a keyword that a metaclass reads from the class header changes",
    "must": "the class follows; live instances and held references are of it",
}


def check(h):
    m = h.load()
    held, live = m.Model, m.Model()
    h.push()
    assert held.table == "new" and live.where() == "new" and isinstance(live, h.mod().Model)
    assert h.mod().Model is held
