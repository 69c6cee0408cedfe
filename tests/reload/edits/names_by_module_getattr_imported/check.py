CASE = {
    "title": "names that a module's __getattr__ makes are imported, and it makes others now",
    "must": "who imported them has what a cold start would give him; what it makes anew each time stays",
}


def check(h):
    further = h.load("further")
    user = h.mod("user")
    made = user.made
    assert user.report() == (1, 2, "plain", 5, "own") and further.report() == 1
    h.push()
    assert user.report() == (20, 40, "by request", 5, "own") and further.report() == 20
    assert user.made is made
    h.rollback()
    assert user.report() == (1, 2, "plain", 5, "own") and further.report() == 1
    assert user.made is made
