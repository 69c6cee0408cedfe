from runtime import kernel
from runtime.otp.gen_server import stop

CASE = {
    "title": "a TypedServer gets a request method, another one takes one more argument, one goes; a process lives",
    "must": "the living process answers the new ones with its state",
}


def check(h):
    m = h.load()
    pid = kernel.run(m.Counter.start)
    assert kernel.run(lambda: m.Counter.add(pid, 2)) == 2
    h.push()
    assert kernel.run(lambda: m.Counter.add(pid, 2, times=3)) == 8
    assert kernel.run(lambda: m.Counter.peek(pid)) == "it is 8" and not hasattr(m.Counter, "reset")
    h.rollback()
    assert kernel.run(lambda: m.Counter.add(pid, 1)) == 9
    kernel.run(stop, pid)
