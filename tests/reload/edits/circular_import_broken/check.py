CASE = {
    "title": "two modules that import each other, one within a function, share a third one instead",
    "must": "functions that are held work through all three; nothing is loaded twice",
}


def check(h):
    m = h.load("alpha")
    down, beta = m.down, h.mod("beta")
    assert down(2) == ("alpha", ("beta", ("alpha", 0))) and beta.STATE == [1]
    h.push()
    assert down(2) == ("alpha", 2, ("beta", ("alpha", 2, 0))) and beta.STATE == [1, 1]
    assert h.mod("common").found("alpha") is down is m.down
    h.rollback()
    assert down(2) == ("alpha", ("beta", ("alpha", 0))) and beta.STATE == [1, 1, 1]
