CASE = {
    "title": "a method of a msgspec.Struct with live instances changes",
    "must": "live instances run it; decoding still gives the class",
}


def check(h):
    m = h.load()
    held, live, decoder = m.Frame, m.Frame(1), m.DECODER
    h.push()
    assert live.shown() == "#1" and h.mod().Frame is held
    assert decoder.decode(b'{"type":"frame","n":2}').shown() == "#2" and h.mod().DECODER is decoder
