CASE = {
    "title": "half of a module moves to a new one, and the old one re-exports it; users import from the old one",
    "must": "users have what a cold start has; a held function runs the new code of its new place or goes on; state stays",
}


def check(h):
    user = h.load("user")
    work, load, store = user.work, user.load, user.Store()
    assert work("a") == ("<A>", "A", True)
    h.push()
    assert work("ab") == ("<<Ab>>", "Ab", True)
    assert user.load is h.mod("storing").load and user.Store is h.mod("storing").Store
    assert user.CACHE is h.mod("storing").CACHE is h.mod("tools").CACHE
    assert isinstance(store, user.Store) and store.put("cd") in ("Cd", "CD") and load("cd") in ("Cd", "CD")
    h.rollback()
    assert work("a") == ("<A>", "A", True) and user.load is h.mod("tools").load
