CASE = {
    "title": "a Flag gets a member, an IntEnum and a StrEnum another method",
    "must": "old members identical; combinations made before and after are equal",
}


def check(h):
    m = h.load()
    read, both, text = m.Right.READ, m.Right.READ | m.Right.WRITE, m.Kind.TEXT
    h.push()
    Right, Kind = h.mod().Right, h.mod().Kind
    assert (
        Right.READ is read
        and (Right.READ | Right.WRITE) == both
        and Right.ADMIN in Right.ALL
        and both in Right.ALL
    )
    assert (both | Right.ADMIN) == Right.ALL and ~Right.ADMIN == both
    assert Kind.TEXT is text and text.shown() == "a kind: text" and Kind("image").shown() == "a kind: image"
