"""State machines for tests: they do what each event tells them, and note what happened to them."""

from __future__ import annotations

from typing import Any


from runtime.kernel import (
    Call,
    cast,
    receive,
    reply,
    send,
    trap_exit,
)
from runtime.otp import (
    call,
    sys,
)
from runtime.otp.state_machine import (
    GenStateMachine,
    Keep,
    NamedTimeout,
    NextState,
    Reply,
)


class Do:
    """An event's content that says what the machine is to return: a result, a function of (machine, kind) that makes
    one, or a dict of either by state (no entry: None). `label` stands for it in what was seen.
    """

    def __init__(self, label: Any, play: Any = None) -> None:
        self.label = label
        self.play = play

    def __repr__(self) -> str:
        return f"Do({self.label!r})"


class Puppet(GenStateMachine):
    """Notes (state, kind, label) of all events in `seen`, and does what they say. `enters`: the same for enter calls."""

    def init(self, first: Any = None, enters: Any = None, watcher: Any = None) -> Any:
        self.seen: list[Any] = []
        self.enters = enters or {}
        self.watcher = watcher
        return first if first is not None else NextState("idle")

    def act(self, kind: Any, content: Any) -> Any:
        if isinstance(kind, Call) and content == "seen":
            reply(kind, list(self.seen))
            return None
        word = "call" if isinstance(kind, Call) else kind
        self.seen.append((self.state, word, content.label if isinstance(content, Do) else content))
        play = self.enters if kind == "enter" else content.play if isinstance(content, Do) else None
        if isinstance(play, dict):
            play = play.get(self.state)
        return play(self, kind) if callable(play) else play

    def terminate(self, reason: Any) -> None:
        if self.watcher is not None:
            send(self.watcher, ("terminate", self.state, reason))


class Named(Puppet):
    def idle(self, kind, content):
        return self.act(kind, content)

    def busy(self, kind, content):
        return self.act(kind, content)

    def done(self, kind, content):
        return self.act(kind, content)


class Anyhow(Puppet):
    def handle_event(self, kind, content, state):
        assert state == self.state
        return self.act(kind, content)


class NamedEnter(Named):
    state_enter = True


class AnyhowEnter(Anyhow):
    state_enter = True


class Trapper(Named):
    def init(self, *args):
        trap_exit(True)
        return super().init(*args)


class Vault(Named):
    """Hides a secret."""

    def init(self, secret):
        super().init()
        self.secret = secret
        return NextState("idle", NamedTimeout("t", 100.0, secret))

    def format_status(self, status):
        shown = {key: "redacted" for key in status}
        for key in ("state", "reason"):
            if key in status:
                shown[key] = status[key]
        if "data" in status:
            shown["data"] = dict(status["data"], secret="***", seen="***")
        return shown


def seen(pid) -> list[Any]:
    return list(call(pid, "seen"))


def labels(pid) -> list[Any]:
    return [entry[2] for entry in call(pid, "seen")]


def answer(value: Any, result: Any = Keep) -> Any:
    return lambda _m, kind: result(Reply(kind, value))


def state_of(pid) -> Any:
    return sys.get_state(pid)[0]


def end_of(cls, result, *, via=cast, args=()):
    """The reason that a machine ends with when an event returns `result`."""
    pid, ref = cls.start_monitor(*args)
    via(pid, Do("end", result))
    down = receive()
    assert down.ref is ref
    return down.reason


def exercise(pid):
    """The suite's do_func_test and do_sync_func_test: casts and calls in a row of states."""
    cast(pid, Do("hello", NextState("busy")))
    assert state_of(pid) == "busy"
    assert call(pid, Do("work", answer("worked"))) == "worked"
    assert call(pid, Do("over", lambda _m, k: NextState("done", Reply(k, "bye")))) == "bye"
    assert call(pid, Do("back", lambda _m, k: NextState("idle", Reply(k, "yes")))) == "yes"
    assert state_of(pid) == "idle"
