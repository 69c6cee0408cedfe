CASE = {
    "title": "__init__, __new__ and alternative constructors change; the class and its classmethod are held",
    "must": "new instances by all ways are new, old ones keep what they have",
}


def check(h):
    m = h.load()
    Token, parse, old = m.Token, m.Token.parse, m.Token("A")
    h.push()
    new, raw = Token("B"), parse(" C ")
    assert (new.text, new.kind, raw.text, raw.kind, old.text) == ("b", "word", "c", "raw", "A")
    assert type(old) is type(new) is h.mod().Token
