CASE = {
    "title": "a scratch name is deleted at the end of the top level, and what was made of it changes",
    "must": "the result is new and the scratch name gone, as in a cold start",
}


def check(h):
    m = h.load()
    seen = m.seen
    h.push()
    assert seen() == "a-b-c" and not hasattr(h.mod(), "_parts")
