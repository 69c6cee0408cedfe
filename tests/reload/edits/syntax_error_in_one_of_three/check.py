CASE = {
    "title": "one of three changed modules does not compile",
    "must": "refused with file and line; none of the three changes",
}


def check(h):
    c = h.load("c")
    state = c.STATE
    files = h.changes()
    broken = files | {"b.py": files["b.py"].replace("f() + 10", "f( + 10")}
    result = h.push(files=broken, expect="refuse")
    assert c.k() == 3 and h.mod("c").STATE is state and h.mod("a").f() == 1
    assert "b.py" in result.errors[0] and "5" in result.errors[0], result.errors
    h.push(files=files)
    assert c.k() == 30
