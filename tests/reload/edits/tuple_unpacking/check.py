CASE = {
    "title": "one value of a tuple unpacking changes",
    "must": "only what changed differs; importers and derived names follow",
}


def check(h):
    user = h.load("user")
    h.push()
    m = h.mod()
    assert (m.A, m.B, m.C, m.REST, m.D, m.SUM) == (1, 20, 3, [4, 50], 6, 27) and user.seen() == (
        20,
        [4, 50],
        27,
    )
