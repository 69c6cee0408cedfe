CASE = {
    "title": "partials, attrgetters and instances with __call__ made at the top level change",
    "must": "names and importers have the new ones",
}


def check(h):
    user = h.load("user")
    assert user.seen(5) == (6, 5, 10)
    h.push()
    assert user.seen(5) == (105, 0, (15,))
