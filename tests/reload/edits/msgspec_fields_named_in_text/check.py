import msgspec

CASE = {
    "title": "Structs whose fields name, in text, a Struct that changes, and one another; an enumeration within a class grows",
    "must": "decoders made before, and instances that live, know what the Structs and the enumeration are now",
}


def check(h):
    m = h.load()
    text = '{"part": {}, "other": {"whole": [{"part": {}}], "kind": "text"}, "inner": {"part": {}}}'
    box = [m.DECODER.decode(text)]
    assert m.TEXTS.decode('{"kind": "text"}').kind is m.Box.Kind.TEXT
    h.push()
    found = m.DECODER.decode(text.replace('"kind": "text"', '"kind": "file"'))
    assert found.other.kind is m.TEXTS.decode('{"kind": "file"}').kind is m.Box.Kind.FILE
    for one in (found, found.inner, found.other.whole[0]):
        assert type(one) is m.Whole and one.part == m.Part(2, "part")
    assert isinstance(box[0], m.Whole) and box[0].inner.part == m.Part(1, "part")
    assert type(msgspec.json.decode("{}", type=m.Other)) is m.Other
    del found, one
    h.rollback()
    assert m.DECODER.decode(text).other.whole[0].part == m.Part(1) == box[0].part
    try:
        m.DECODER.decode('{"other": {"kind": "file"}}')
    except msgspec.ValidationError:
        return
    raise AssertionError("a value that is gone is still decoded")
