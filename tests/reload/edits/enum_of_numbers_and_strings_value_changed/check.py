CASE = {
    "title": "the value of a member changes that is a number, or a string, itself",
    "must": "the name means a member that is the new number everywhere; the others are who they were; the report tells of it",
}


def check(h):
    m = h.load()
    Code, ok, gone = m.Code, m.Code.OK, m.Code.GONE
    result = h.push()
    assert (
        Code.GONE == 20
        and Code(20) is Code.GONE
        and m.wire(Code.GONE) == b"\x14"
        and list(Code) == [ok, Code.GONE]
    )
    assert m.NAMES[20] == "gone" and 2 not in m.NAMES and m.NAMES[ok] == "ok" and Code.OK is ok
    assert m.Word.YES == "oui" and f"{m.Word.YES}" == "oui" and isinstance(gone, Code)
    report = result.info.get("report")
    assert report is None or sum("is another" in text for text in report.warnings) == 2
    h.rollback()
    assert Code.GONE == 2 and m.wire(Code.GONE) == b"\x02" and m.NAMES[2] == "gone" and m.Word.YES == "yes"
