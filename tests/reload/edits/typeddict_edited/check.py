CASE = {
    "title": "a TypedDict gets a key that need not be there",
    "must": "held references to it say so",
}


def check(h):
    m = h.load()
    make = m.make
    h.push()
    User = h.mod().User
    assert make("a") == {"name": "a", "age": None} and User(name="x") == {"name": "x"}
    assert set(User.__annotations__) == {"name", "age"} and User.__optional_keys__ == frozenset({"age"})
    assert make.__annotations__["return"] is User
