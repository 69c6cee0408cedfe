CASE = {
    "title": "methods of a slots class and of its slots subclass change, super() among them",
    "must": "live instances of both run the new ones",
}


def check(h):
    m = h.load()
    node, leaf, bound = m.Node(1), m.Leaf(2), m.Leaf(3).shown
    h.push()
    assert node.shown() == "<1>" and leaf.shown() == "leaf <2>" and bound() == "leaf <3>"
