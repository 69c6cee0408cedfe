CASE = {
    "title": "__getattr__, __setattr__ and __getitem__ of a class change",
    "must": "live instances use them; the push itself does not trip over them",
}


def check(h):
    m = h.load()
    box = m.Box()
    assert box.size == "old size"
    h.push()
    assert box.size == "new size" and box[2] == 4 and len(box) == 3
    box.n = 2
    assert box.n == 4
