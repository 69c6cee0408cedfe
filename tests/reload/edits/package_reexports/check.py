CASE = {
    "title": "a package's __init__ re-exports names of a submodule; those change and one is added",
    "must": "users of the package see the new ones",
}


def check(h):
    user = h.load("user")
    live = user.make()
    h.push()
    assert user.seen() == (2, 2, "new") and user.pkg.extra() == 3 and live.shown() == "new"
    assert isinstance(live, user.pkg.Thing)
