CASE = {
    "title": "a package's star import stands below TYPE_CHECKING, for tools only, and names come and go behind it",
    "must": "nothing is put into the package for it",
}


def check(h):
    core = h.load("pkg.core")
    h.push()
    pkg = h.mod("pkg")
    assert core.f() == 2 and not hasattr(pkg, "f") and not hasattr(pkg, "g")
