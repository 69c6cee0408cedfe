CASE = {
    "title": "a decorator with arguments moves to another module, is changed, and is imported from there",
    "must": "decorated functions that are held go through it as it is now",
}


def check(h):
    h.load("marks")
    work = h.load("work")
    ping = work.ping
    h.push()
    assert work.ping(1) == (("pong", 1), ("pong", 1)) == ping(1)
    assert ping.__name__ == "ping" and work.ping.__wrapped__(1) == ("pong", 1)
    h.rollback()
    assert work.ping(1) == [("ping", 1)] * 2 == ping(1)
