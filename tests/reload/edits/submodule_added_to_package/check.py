CASE = {
    "title": "a package gets a submodule that its __init__ imports, and an untouched user reaches through the package",
    "must": "pkg.new is there, also by `from pkg import new` in a function",
}


def check(h):
    user = h.load("user")
    assert user.seen() == ["old"]
    h.push()
    assert user.seen() == ["new", "old"] and user.pkg.new.g() == "new over old"
    h.rollback()
    import sys

    assert user.seen() == ["old"] and "pkg.new" not in sys.modules
