CASE = {
    "title": "annotations written as strings change",
    "must": "get_type_hints of held functions and classes gives the new types",
}


def check(h):
    import typing

    m = h.load()
    Node, make, live = m.Node, m.make, m.Node()
    h.push()
    assert typing.get_type_hints(Node) == {"value": str, "next": Node | None, "prev": Node | None}
    assert (
        typing.get_type_hints(make) == {"n": str, "return": Node}
        and typing.get_type_hints(live.link)["return"] is Node
    )
    assert live.prev is None
