"""What a trace lets nobody see: what format_status hides, and the secret fields of records."""

from __future__ import annotations

import msgspec
import pytest

from runtime import kernel
from runtime.kernel import KILL, call, cast, exit, self_, send, spawn_callback
from runtime.observe.tracing import TraceEvent, start
from runtime.otp import stop
from runtime.otp.gen_server import GenServer
from runtime.testing import settle


class Letter(msgspec.Struct):
    __secret_fields__ = frozenset({"body"})

    to: str
    body: bytes


class Bag(msgspec.Struct):
    letters: list[Letter]


class Open(GenServer):
    def init(self):
        self.seen = None

    def handle_call(self, request, sender):
        self.seen = request
        return request

    def handle_cast(self, request):
        self.seen = request

    def handle_info(self, message):
        self.seen = message


class Closed(Open):
    def format_status(self, status):
        return {**status, "state": "hidden", "message": "…", "messages": []}


class Sink:
    def on_message(self, process, message):
        pass


def take(function):
    return len(function.body)


@pytest.fixture
def events():
    def got():
        settle()
        return [one.text for one in kernel.receive_every(lambda m: m.__class__ is TraceEvent)]

    return got


@pytest.mark.parametrize("bodies", [False, True])
def test_bodies_are_shown_only_when_that_is_asked_for(events, bodies):
    server, sink = Open.start(), spawn_callback(Sink())
    trace = start([server, sink, take], n=100, seconds=60.0, state=True, bodies=bodies)
    settle()
    send(sink, Bag([Letter("ann", b"the body")]))
    send(server, Letter("ann", b"the body"))
    cast(server, Letter("ann", b"the body"))
    call(server, Letter("ann", b"the body"))
    take(Letter("ann", b"the body"))
    found = events()
    assert sum("Letter(to='ann'" in text for text in found) >= 6
    assert ("the body" in str(found)) is bodies
    assert ("Bag(letters=[Letter(to='ann', body=…)])" in found) is not bodies
    stop(trace)
    stop(server)
    exit(sink, KILL)
    events()


def test_what_format_status_hides_is_a_kind_only(events):
    server = Closed.start()
    traces = [
        start(server, n=100, seconds=60.0, state=True, send=False),
        start(self_(), n=100, seconds=60.0, receive=False),
    ]
    settle()
    send(server, ("a secret", 1))
    cast(server, frozenset({"a secret"}))
    call(server, ("a secret", 2))
    found = events()
    assert "a secret" not in str(found)
    assert "tuple(…)" in found
    assert "cast frozenset(…)" in found
    assert "call tuple(…)" in found
    assert "'hidden'" in found
    for trace in traces:
        stop(trace)
    stop(server)
    events()
