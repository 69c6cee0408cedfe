CASE = {
    "title": "a function is renamed while references to the old name's function are held",
    "must": "the new name is there and the old is gone; what is held still works",
}


def check(h):
    user, m = h.load("user"), h.load()
    held = m.fetch
    h.push()
    assert user.use(1) == ("v2", 1) and user.TABLE[0](2) == ("v2", 2) and not hasattr(h.mod(), "fetch")
    assert held(3)[1] == 3
