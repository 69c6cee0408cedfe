CASE = {
    "title": "a folder of modules without an __init__ gets one, with names of its own",
    "must": "the package has the names; its modules that are loaded stay the same",
}


def check(h):
    user = h.load("user")
    use, state = user.use, user.first.STATE
    h.push()
    assert use() == ("first", "first", 2) and user.first.STATE is state
    assert user.tools_here.__doc__ == "Now a package."
