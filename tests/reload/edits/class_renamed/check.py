CASE = {
    "title": "a class is renamed while an instance lives",
    "must": "the old instance works on with its methods; new ones are of the new class",
}


def check(h):
    m = h.load()
    live, make = m.make(), m.make
    h.push()
    assert live.run()[1] == 2 and make().run() == ("runner", 2) and not hasattr(h.mod(), "Worker")
