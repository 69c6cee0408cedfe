CASE = {
    "title": "a function below two wrapping decorators changes, then the decorators change places",
    "must": "held references and __wrapped__ follow",
}


def check(h):
    m = h.load()
    held = m.hello
    h.push()
    assert held("a") == h.mod().hello("a") == "GOOD DAY A|GOOD DAY A" and h.mod().hello.__doc__ == "Greets."
    h.push("after2")
    assert held("a") == h.mod().hello("a") == "bye a|bye a"
