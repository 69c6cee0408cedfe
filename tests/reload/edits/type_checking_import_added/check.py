CASE = {
    "title": "an import under TYPE_CHECKING and an annotation that uses it come",
    "must": "accepted; nothing is imported for it; annotations follow",
}


def check(h):
    m = h.load()
    apply = m.apply
    h.push()
    assert apply(abs, -3) == 4 and apply.__annotations__ == {
        "fn": "Callable",
        "x": "Thing",
        "return": "Thing",
    }
