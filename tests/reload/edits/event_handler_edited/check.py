CASE = {
    "title": "a handler installed in an event manager changes",
    "must": "it stays installed with its state and handles the next event by the new code",
}


def check(h):
    from runtime.kernel import run
    from runtime.otp import event_manager as events

    m = h.load()
    pid = run(events.EventManager.start)
    run(events.add_handler, pid, m.Tally)
    run(events.sync_notify, pid, 1)
    h.push()
    run(events.sync_notify, pid, 2)
    assert run(events.call, pid, h.mod().Tally, "seen") == [("new", 2), 1]
