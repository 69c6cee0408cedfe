CASE = {
    "title": "a class gets a metaclass that collects its fields; a subclass elsewhere is edited with it",
    "must": "as a cold start has it, or refused with nothing changed",
}


def check(h):
    m = h.load("fields")
    one = m.Model()
    h.push()
    assert h.mod("fields").Model.describe() == "Model: ['title', 'body']"
    assert h.mod("fields").Model().names() == ["title", "body"] == one.names()
    assert isinstance(one, h.mod("fields").Model)
    h.rollback()
    assert h.mod("fields").Model().names() == [] == one.names()
