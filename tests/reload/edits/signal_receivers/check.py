CASE = {
    "title": "receivers are connected to a signal by a decorator and by a call; one changes, one goes, one comes",
    "must": "sending calls each of those that the source has once, and the new code of it",
}


def check(h):
    h.load("receivers")
    saved = h.mod("signals").saved
    assert saved.send(1) == [("index", 1), ("mail", 1), ("audit", 1)]
    h.push()
    assert sorted(saved.send(1)) == [("index", 1, True), ("new audit", 1), ("push", 1)], saved.send(1)
    h.rollback()
    assert sorted(saved.send(1)) == [("audit", 1), ("index", 1), ("mail", 1)]
