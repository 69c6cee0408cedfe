CASE = {
    "title": "a base's __init_subclass__ takes a keyword that its subclasses, here and elsewhere, now give",
    "must": "they are registered as a cold start registers them, the classes stay",
}


def check(h):
    mine = h.load("mine")
    base, Json, one = h.mod("base"), mine.Json, mine.Json()
    h.push()
    assert (Json.label, one.label, mine.Text.label) == ("j", "j", "t")
    assert base.Plugin.kinds == {"Json": Json, "Text": mine.Text} and mine.Json is Json
    h.rollback()
    assert (
        base.Plugin.kinds == {"Json": Json, "Text": mine.Text} and mine.Json is Json and one.load() == "json"
    )
