CASE = {
    "title": "an Enum member goes",
    "must": "it is gone from the class by name, value and iteration; who holds it can still use it",
}


def check(h):
    m = h.load()
    red, green = m.Color.RED, m.Color.GREEN
    h.push()
    Color = h.mod().Color
    assert (
        list(Color) == [red, Color.BLUE] and not hasattr(Color, "GREEN") and "GREEN" not in Color.__members__
    )
    assert green.name == "GREEN" and green.value == "g" and Color("r") is red
    try:
        Color("g")
    except ValueError:
        return
    raise AssertionError("the removed member is still found")
