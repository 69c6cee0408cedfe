CASE = {
    "title": "a decorator moves to a module that is star-imported; the import by name goes",
    "must": "what it has decorated is made by the one that came to light; and back",
}


def check(h):
    top = h.load("top")
    job = top.Job()
    assert job.run() == ("marked", 1)
    h.push()
    assert job.run() == ("marked below", 1) and top.Job().run() == ("marked below", 1)
    h.rollback()
    assert job.run() == ("marked", 1)
