CASE = {
    "title": "a union of tagged Structs, behind a decoder, gets one more member",
    "must": "the decoder knows the new member; the old members' classes are the same",
}


def check(h):
    m = h.load()
    decode, ping = m.decode, m.Ping
    h.push()
    assert decode(b'{"type":"typing","who":"a"}').who == "a"
    assert type(decode(b'{"type":"ping","n":1}')) is ping is h.mod().Ping
