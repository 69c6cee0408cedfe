CASE = {
    "title": "two modules change; the importer asks for a name that is new in the other, which imports the first inside",
    "must": "accepted in whatever order; both ways work",
}


def check(h):
    lib = h.load("b_lib")
    assert lib.back() == 1
    h.push()
    assert lib.back() == 1 + 6 + 7 and h.mod("a_user").LIMIT == 7
    h.rollback()
    assert lib.back() == 1
