CASE = {
    "title": "functions change that plain processes were spawned with: one runs, one has not begun",
    "must": "the running one ends in its old body with new helpers; the other begins in the new one",
}


def check(h):
    from runtime.kernel import receive, run, self_, send, spawn, yield_

    m = h.load()

    def started():
        me = self_()
        running = spawn(m.work, me)
        for _ in range(5):
            yield_()
        h.push()
        send(running, "go")
        first = receive(5)
        spawn(m.work, me)
        spawn(m.later, me)
        return first, receive(5)

    first, second = run(started)
    assert first == ("go", "new", "old body"), first
    assert second == ("later", "new", "new body"), second
