CASE = {
    "title": "an enum's member gets another name and keeps its value",
    "must": "the value leads to the new one, tables at top level are keyed by it; who holds the old one has it as it was",
}


def check(h):
    user = h.load("user")
    Colour = h.mod("colours").Colour
    held = Colour.RED
    h.push()
    assert user.warmth(Colour.CRIMSON) == "hot" and not hasattr(Colour, "RED")
    assert Colour(1) is Colour.CRIMSON and [one.name for one in user.Colour] == ["CRIMSON", "GREEN"]
    assert (held.value, held.name) == (1, "RED") and isinstance(held, Colour)
    h.rollback()
    assert user.warmth(Colour.RED) == "warm" and [one.name for one in Colour] == ["RED", "GREEN"]
