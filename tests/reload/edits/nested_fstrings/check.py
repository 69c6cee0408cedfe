CASE = {
    "title": "nested f-strings and comprehensions inside functions and constants change",
    "must": "held references show the new text",
}


def check(h):
    m = h.load()
    row = m.row
    h.push()
    assert row([1, 2]) == "[  1|  2]" and h.mod().HEAD == "==="
