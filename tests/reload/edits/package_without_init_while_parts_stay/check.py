CASE = {
    "title": "a package loses its __init__.py, while a module of it stays that others import by its full name",
    "must": "be refused: the living package is gone, and who imports that module later gets another one",
}


def check(h):
    user = h.load("user")
    result = h.push(expect="refuse")
    assert (
        "pk/__init__.py" in result.errors[0]
        and "pk.a" in result.errors[0]
        and "leave it empty" in result.errors[0]
    )
    assert user.use() == 1 and h.load("pk").KIND == "package" and h.load("pk").a.Y == 1
