CASE = {
    "title": "everything around module-level singletons changes: their class, functions, constants",
    "must": "the objects made once stay: sentinel, lock, service, cache",
}


def check(h):
    m = h.load()
    missing, lock, service, get = m.MISSING, m.LOCK, m.SERVICE, m.get
    service.note(1)
    h.push()
    m = h.mod()
    assert m.MISSING is missing and m.LOCK is lock and m.SERVICE is service
    assert service.note(2) == [1, (2,)] and get() == (True, 4) and get(missing) == (True, 4)
