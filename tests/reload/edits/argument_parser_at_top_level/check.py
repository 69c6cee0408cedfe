CASE = {
    "title": "options of an argparse parser at top level change, go and come",
    "must": "as a cold start has it, or refused with nothing changed",
}


def check(h):
    m = h.load()
    parse = m.parse
    result = h.push(expect="any")
    if result.ok:
        assert parse() == {"size": 2, "weight": 7}, parse()
    else:
        assert "--size" in result.errors[0], result.errors
        assert parse() == {"size": 1, "colour": "red"}
