CASE = {
    "title": "a dataclass becomes kw_only and gets a __post_init__",
    "must": "as a cold start for new instances; old ones are kept as they are",
}


def check(h):
    m = h.load()
    held, live = m.Options, m.Options("A")
    h.push()
    new = held(host="B")
    assert (new.host, new.tags) == ("b", ["new"]) and (live.host, live.tags) == ("A", [])
    assert type(live) is h.mod().Options
