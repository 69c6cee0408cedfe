CASE = {
    "title": "a module is deleted together with the import of it; then comes again",
    "must": "it is gone from sys.modules and its package; its objects that live work on; the new one is fresh",
}


def check(h):
    import sys

    user = h.load("user")
    held = h.mod("pkg.old").f
    h.push()
    assert user.use() == "none" and "pkg.old" not in sys.modules and not hasattr(h.mod("pkg"), "old")
    assert not hasattr(user, "old") and held() == "old"
    h.rollback()
    assert user.use() == "old" and h.mod("pkg").old is h.mod("pkg.old")
