CASE = {
    "title": "a msgspec.Struct gets a new optional field; nothing of the old shape lives; encoder and decoder are module constants",
    "must": "accepted; the importer's class, the encoder and the decoder know the field",
}


def check(h):
    import msgspec

    user, m = h.load("user"), h.load()
    assert user.make(1).n == m.decode(b'{"type":"frame","n":1}').n
    h.push()
    assert user.make(1).reply_to is None
    got = user.read(b'{"type":"frame","n":1,"reply_to":"x"}')
    assert got.reply_to == "x" and isinstance(got, h.mod().Frame)
    assert msgspec.json.decode(msgspec.json.encode(user.make(2)))["reply_to"] is None
