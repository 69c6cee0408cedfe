from registry import route


@route("/a")
def a():
    return "a1"


@route("/b")
def b():
    return "b1"
