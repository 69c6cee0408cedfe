CASE = {
    "title": "a runtime_checkable typing.Protocol asks for one more method, and the class that has it is edited along",
    "must": "isinstance follows, for live objects",
}


def check(h):
    user = h.load("user")
    box, crate, fits = user.Box(), user.Crate(), user.fits
    assert fits(box) and fits(crate)
    h.push()
    assert fits(box) and not fits(crate) and box.weight() == 10
