CASE = {
    "title": "a plain base becomes an ABC with an abstract method, and its subclass implements it; instances live",
    "must": "with an instance (its class has another layout then): refused, nothing has changed; without: the base cannot be made; and back",
}


def check(h):
    m = h.load("round")
    one, Circle = m.Circle(), m.Circle
    result = h.push(expect="refuse")
    assert "Circle: the layout of its instances changes" in result.errors[0]
    assert one.name() == "shape" and m.Circle is Circle and h.mod("shapes").Shape().name() == "shape"
    for path, text in h.prev.items():
        h._write(path, text)
    del one, result  # its traceback holds the instance
    h.push()
    Shape = h.mod("shapes").Shape
    assert isinstance(m.Circle(), Shape) and m.Circle().name() == "shape of 3"
    try:
        Shape()
    except TypeError:
        pass
    else:
        raise AssertionError("it is abstract")
    h.rollback()
    assert m.Circle().name() == "shape" and h.mod("shapes").Shape().name() == "shape"
