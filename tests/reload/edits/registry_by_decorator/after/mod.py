from registry import route


@route("/a")
def a():
    return "a2"


@route("/b")
def b():
    return "b1"


@route("/c")
def c():
    return "c2"
