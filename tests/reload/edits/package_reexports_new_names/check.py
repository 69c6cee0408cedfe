CASE = {
    "title": "a package's __init__ re-exports what is new in a changed submodule, and what a new submodule takes from a changed one",
    "must": "accepted in whatever order; all names are there, up and down",
}


def check(h):
    import sys

    use = h.load("user").use
    for _ in range(2):
        h.push("after")
        assert use() == (("die", "watchwatcher", "guard"), "watchwatcher", ("watcher", "guard"))
        h.push("before")
        assert use() == (("die", "watch"), "watch")
    assert "kernel.interrupt" not in sys.modules and not hasattr(h.mod("kernel"), "Watcher")
