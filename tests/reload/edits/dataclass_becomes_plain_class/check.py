CASE = {
    "title": "a dataclass becomes a class with its own __init__ and __eq__, another class a dataclass; instances live",
    "must": "instances work with the new methods; what the decorator made goes",
}


def check(h):
    m = h.load()
    money, place = m.Money(5, "USD"), m.Place(1, 2)
    assert money < m.Money(6)
    h.push()
    assert money == m.Money(5) and hash(money) == hash(5) and "Money(" not in repr(money)
    assert repr(place) == "Place(x=1, y=2)" and place == m.Place(1, 2) and m.Place(1).y == 0
    try:
        money < m.Money(6)
    except TypeError:
        pass
    else:
        raise AssertionError("no order any more")
    h.rollback()
    assert (
        money < m.Money(6)
        and repr(money) == "Money(amount=5, currency='USD')"
        and m.Place(1, 2) != m.Place(1, 2)
    )
