CASE = {
    "title": "a package's __init__ no longer imports its submodule, which others have loaded",
    "must": "the submodule stays an attribute of the package, as after a cold start in which the others import it",
}


def check(h):
    user = h.load("user")
    h.push()
    assert user.use() == 1 and not hasattr(h.mod("pkg"), "f") and h.mod("pkg").part is h.mod("pkg.part")
