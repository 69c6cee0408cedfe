CASE = {
    "title": "two modules that import each other's functions inside functions get a new cross reference each",
    "must": "both ways work, by held references",
}


def check(h):
    left = h.load("left")
    right = h.mod("right")
    held = left.other, right.other
    h.push()
    assert [call() for call in held] == ["right6", "left!"]
