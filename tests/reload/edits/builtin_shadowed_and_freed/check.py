CASE = {
    "title": "a module begins to define a name of the builtins, then stops",
    "must": "functions use the module's own, then the builtin again",
}


def check(h):
    m = h.load()
    use = m.use
    assert use([1, 2]) == 3
    h.push()
    assert use([1, 2]) == "mine"
    h.push("before")
    assert use([1, 2]) == 3
