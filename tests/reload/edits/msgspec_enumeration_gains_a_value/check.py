import msgspec

CASE = {
    "title": "an enumeration that decoders know gains a value, or a member of it another one",
    "must": "decoders made before, and fields of Structs, know the values that there are now; Structs that live follow",
}


def check(h):
    m = h.load()
    box = [
        m.read('{"kind": "text", "code": 1}')
    ]  # not a variable of this function: what a stack holds stays of the old class
    assert m.DECODER.decode("[{}]") == [m.Note()]
    h.push()
    assert m.DECODER.decode('[{"kind": "file", "code": 5}]') == [m.Note(m.Kind.FILE, m.Code.OK)]
    assert m.read('{"kind": "file"}').kind is m.Kind.FILE and m.Note().code == 5
    assert isinstance(box[0], m.Note) and box[0].kind is m.Kind.TEXT
    h.rollback()
    assert m.read('{"kind": "text", "code": 1}').code is m.Code.OK and isinstance(box[0], m.Note)
    try:
        m.DECODER.decode('[{"kind": "file"}]')
    except msgspec.ValidationError:
        return
    raise AssertionError("a value that is gone is still decoded")
