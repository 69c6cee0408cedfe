CASE = {
    "title": "values were computed at top level by functions, and a class, whose bodies change",
    "must": "they stay; the report names each with its line and who computed it, and nothing else",
}


def check(h):
    m = h.load()
    before = h.source("tools.py")
    service = m.SERVICE
    report = h.push().info.get("report")
    assert (
        (m.SCALED, m.MANY, m.Settings.size) == (10, [1, 2], 5) and m.SERVICE is service and service.level == 1
    )
    assert m.LATER() == 20 and m.MADE() == (3, 2) and m.Settings().later == 10
    if report is not None:
        assert {(k.name, h.source().splitlines()[k.line - 1].split()[0], k.because) for k in report.kept} == {
            ("SCALED", "SCALED", "scale"), ("MANY", "MANY", "tools.scaled"), ("SERVICE", "SERVICE", "Service"),
            ("Settings.size", "size", "scale"), ("SORTED", "SORTED", "scale"), ("MOST", "MOST", "tools.scaled"),
        }  # fmt: skip
    # Lines and docs alone compute nothing else; and what is edited itself has run.
    result = h.push_files(
        {"tools.py": '"""Tools."""\n\n' + h.source("tools.py").replace("n):\n", 'n):\n    """Doc."""\n', 1)}
    )
    assert report is None or not result.info["report"].kept
    result = h.push_files(
        {"tools.py": before, "mod.py": h.source().replace("scale(10)\nMANY", "scale(11)\nMANY")}
    )
    assert m.SCALED == 11 and (report is None or "SCALED" not in [k.name for k in result.info["report"].kept])
