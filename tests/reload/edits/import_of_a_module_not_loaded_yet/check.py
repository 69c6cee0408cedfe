CASE = {
    "title": "an edit imports a module that lies in the tree and was never loaded, which imports another such",
    "must": "it is loaded, is managed from then on, and goes again when the push is refused",
}


def check(h):
    import sys

    m = h.load()
    f, broken = m.f, "from lazy import g\n\n\ndef f():\n    return g()\n\n\nboom\n"
    h.push(files={"mod.py": broken}, expect="refuse")
    assert f() == 1 and "lazy" not in sys.modules and "lazier" not in sys.modules
    h.push()
    assert f() == 3
    h.push(files={"lazier.py": "LEVEL = 4\n"})
    assert f() == 4
