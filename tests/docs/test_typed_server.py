"""Requests as methods: what they do, and what a type checker sees."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from runtime import (
    CallError,
    Crash,
    NoReply,
    Reply,
    Stop,
    call,
    cast,
    fail,
    receive,
    receive_response,
    reply,
    self_,
    send,
    spawn,
    stop,
)
from runtime import sys as otp_sys
from runtime.otp.outcome import Undefined
from runtime.otp.typed import Asked, TypedServer, handles_call, handles_cast
from runtime.testing import settle
from tests.docs import listings


class Store(TypedServer):
    def init(self):
        self.items = {}
        self.waiting = []

    @handles_call
    def get(self, key, default=None):
        return self.items.get(key, default)

    @handles_cast
    def put(self, key, value):
        """Keep a value."""
        self.items[key] = value
        for asked in self.waiting:
            reply(asked, value)
        self.waiting.clear()

    @handles_call
    def next_value(self):
        self.waiting.append(self.sender)
        return NoReply()

    @handles_call
    def close(self):
        return Stop(reply="closed")

    @handles_call
    def later(self):
        return Reply("soon", timeout=(0, "over"))

    @handles_call
    def twice(self, key):
        return self.get(key), self.get(key)

    def handle_info(self, message):
        self.items["info"] = message

    def secret(self):
        raise AssertionError("no request")


@pytest.fixture
def quiet(crashes):
    return crashes


def test_a_method_through_the_class_is_the_call_and_through_the_object_the_method():
    pid = Store.start(name="store")
    assert Store.put(pid, "a", 1) is None
    assert Store.get("store", "a") == 1
    assert Store.get(pid, key="b", default=2) == 2
    assert Store.twice(pid, "a") == (1, 1)
    assert Store.put.__doc__ is None or Store.__dict__["put"].__doc__ == "Keep a value."
    stop(pid)


def test_a_call_is_answered_later_by_its_sender_object():
    pid = Store.start()
    me = self_()
    spawn(lambda: send(me, Store.next_value(pid)))
    settle()
    Store.put(pid, "a", "now")
    assert receive() == "now"
    stop(pid)


def test_the_open_call_is_no_part_of_the_state():
    pid = Store.start()
    asked = Store.next_value.send_request(pid)
    assert otp_sys.get_state(pid) == {"items": {}, "waiting": [asked]}
    fail(asked, "never")
    with pytest.raises(CallError, match="never"):
        receive_response(asked)
    stop(pid)


def test_control_values_of_a_method_mean_what_they_mean_in_handle_call():
    pid = Store.start()
    assert Store.later(pid) == "soon"
    assert Store.get(pid, "info") == "over"
    assert Store.close(pid) == "closed"
    with pytest.raises(CallError, match="noproc"):
        Store.get(pid, "a")


def test_the_time_limit_of_a_call_is_set_by_within(clock):
    pid = Store.start()
    begin = clock.now()
    late = []

    def ask(seconds):
        try:
            Store.next_value.within(seconds)(pid) if seconds else Store.next_value(pid)
        except CallError as error:
            late.append((clock.now() - begin, error.reason))

    spawn(ask, 30.0)
    spawn(ask, None)
    clock.advance(100.0)
    assert late == [(5.0, "timeout"), (30.0, "timeout")]
    stop(pid)


def test_a_request_reaches_marked_methods_only(quiet):
    for request in (Asked("secret", (), {}), Asked("put", ("a", 1), {}), Asked("init", (), {}), ("get", "a")):
        pid = Store.start()
        with pytest.raises(CallError) as caught:
            call(pid, request)
        assert isinstance(caught.value.reason, Crash)
        assert isinstance(caught.value.reason.exception, Undefined)
    pid = Store.start()
    cast(pid, Asked("get", ("a",), {}))
    settle()
    assert isinstance(pid.reason, Crash)


def test_a_method_is_looked_up_when_its_request_is_handled():
    pid = Store.start()
    old = Store.__dict__["get"]

    def get(self, key, default=None):
        return "new"

    try:
        Store.get = handles_call(get)
        assert Store.get(pid, "a") == "new"
    finally:
        Store.get = old
    assert Store.get(pid, "a") is None
    stop(pid)


CHECKED = """
from runtime import NoReply, Reply, Stop
from runtime.otp.typed import TypedServer, handles_call, handles_cast

class Shop(TypedServer):
    def init(self) -> None:
        self.stock: dict[str, int] = {}

    @handles_call
    def count(self, item: str, least: int = 0) -> int:
        return max(least, self.stock.get(item, 0))

    @handles_call
    def take(self, item: str) -> int | None | Stop:
        return Stop(reply=None) if not self.stock else self.stock.pop(item, None)

    @handles_call
    def wait(self) -> bytes | NoReply | Reply:
        return NoReply()

    @handles_cast
    def add(self, item: str) -> None:
        self.stock[item] = self.count(item) + 1

pid = Shop.start_link()
reveal_type(Shop.count(pid, "pear", least=1))     # note: "int"
reveal_type(Shop.take("shop", "pear"))            # note: "int | None"
reveal_type(Shop.wait(pid))                       # note: "bytes"
reveal_type(Shop.count.within(30.0)(pid, "pear")) # note: "int"
Shop.add(pid, "pear")
Shop.count(pid, 7)                                # error: arg-type
Shop.count(pid)                                   # error: call-arg
Shop.count()                                      # error: call-arg
Shop.add(pid, "pear", 1)                          # error: call-arg
Shop.tke(pid, "pear")                             # error: attr-defined
text: str = Shop.count(pid, "pear")               # error: assignment
Shop.count.send_request(pid, 7)                   # error: arg-type
"""


@pytest.mark.slow
@pytest.mark.plain
def test_mypy_sees_both_ends_and_the_examples_are_clean(tmp_path):
    """Types: a server's call and cast are typed from its own annotations; the examples pass mypy --strict."""
    file = tmp_path / "checked_shop.py"
    file.write_text(CHECKED)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-pretty", str(listings.EXAMPLES), str(file)],
        cwd=listings.ROOT, env={**os.environ, "MYPYPATH": f"{listings.EXAMPLES}:{tmp_path}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = [line for line in done.stdout.splitlines() if ": error:" in line or ": note: Revealed" in line]
    for number, line in enumerate(CHECKED.splitlines(), 1):
        _, _, wanted = line.partition("# ")
        if wanted:
            kind, _, what = wanted.partition(": ")
            found = [one for one in said if f"{file.name}:{number}: {kind}:" in one]
            assert found, f"{line}\n{done.stdout}{done.stderr}"
            assert what.strip() in found[0].replace("builtins.", ""), found[0]
            said.remove(found[0])
    assert said == []
