CASE = {
    "title": "a msgspec.Struct that containers, attributes, tuples, cells and other Structs hold gets an optional field",
    "must": "all of these hold instances of the class in force, the same ones where they shared one; and back",
}


def check(h):
    m = h.load()
    for which, n in (("after", 2), ("before", 1)):
        h.push(which)
        m = h.mod()
        found = m.frames()
        assert all(type(frame) is m.Frame for frame in found), found
        assert [frame.n for frame in found] == [0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
        assert len(m.Frame.__struct_fields__) == n and (
            n == 1 or {frame.origin for frame in found} == {"here"}
        )
        assert found[1] is found[2] and type(m.SESSION.envelope) is m.Envelope
