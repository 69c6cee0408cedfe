CASE = {
    "title": "code_change raises for the 13th of 20 processes",
    "must": "refused; all code and all states as before, also those already computed; a mended version is taken",
}


def check(h):
    from runtime.kernel import call, is_alive, run

    m = h.load()
    pids = [run(m.Basket.start, n) for n in range(20)]
    result = h.push(expect="refuse")
    assert "unlucky" in result.errors[0], result.errors
    assert [run(call, pid, "x") for pid in pids] == [("v1", n, 1) for n in range(20)]
    h.push(files={"mod.py": h.source().replace("if self.n == 13", "if self.n == 99")})
    assert [run(call, pid, "x") for pid in pids] == [("v2", n * 10, 2) for n in range(20)]
    assert all(is_alive(pid) for pid in pids)
