"""TypedServer at its edges: names, arguments and requests that do not fit, and messages that are checked."""

from __future__ import annotations

import pytest

from runtime.kernel import Call, CallError, MutableMessage, call, check_messages, is_alive, process_info, send
from runtime.otp import stop, sys
from runtime.otp.typed import Asked, TypedServer, handles_call, handles_cast


def add(self, n, *, times=1):
    self.total += n * times
    return self.total


class Adder(TypedServer):
    def init(self):
        self.total = 0

    plus = handles_call(add)

    @handles_call
    def __hidden(self):
        return "found"

    hidden_outside = __hidden

    @handles_call
    def many(self, *numbers, **named):
        return numbers, named

    @handles_call
    def by_name(self, *, wanted):
        return wanted

    @handles_cast
    def put(self, total):
        self.total = total

    @classmethod
    def ask_hidden(cls, pid):
        return cls.__hidden(pid)


def test_the_name_that_travels_is_the_one_in_the_class():
    """A function under another name, and a private method, are found by what the class calls them."""
    pid = Adder.start()
    assert Adder.plus(pid, 2) == 2
    assert Adder.plus.within(1.0)(pid, 2, times=3) == 8
    assert Adder.hidden_outside(pid) == "found"
    assert Adder.ask_hidden(pid) == "found"
    stop(pid)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda pid: Adder.plus(pid),
        lambda pid: Adder.plus(pid, 1, 2),
        lambda pid: Adder.plus(pid, 1, often=2),
        lambda pid: Adder.plus.within(2.0)(pid),
        lambda pid: Adder.plus.send_request(pid, n=1, m=2),
        lambda pid: Adder.by_name(pid),
        lambda pid: Adder.by_name(pid, 1),
        lambda pid: Adder.put(pid),
        lambda pid: Adder.put(pid, 1, 2),
    ],
)
def test_arguments_that_do_not_fit_are_the_callers_mistake(mistake):
    """Raised at the call, before anything is sent: the server knows nothing of it."""
    pid = Adder.start()
    with pytest.raises(TypeError):
        mistake(pid)
    assert process_info(pid, "message_queue_len") == {"message_queue_len": 0}
    assert Adder.plus(pid, 1) == 1
    stop(pid)


def test_arguments_that_fit_come_as_they_were_given():
    pid = Adder.start()
    assert Adder.many(pid) == ((), {})
    assert Adder.many(pid, 1, 2, 3, a=4) == ((1, 2, 3), {"a": 4})
    assert Adder.by_name(pid, wanted=5) == 5
    assert Adder.plus(pid, n=3) == 3
    Adder.put(pid, total=10)
    assert Adder.plus(pid, 0) == 10
    stop(pid)


def test_typed_requests_pass_the_check_of_messages():
    """A request is made of immutable parts, so only what a caller gives can be refused; named arguments too."""
    pid = Adder.start()
    check_messages()
    try:
        assert Adder.plus(pid, 1, times=2) == 2
        Adder.put(pid, total=5)
        assert Adder.plus(pid, 0) == 5
        with pytest.raises(MutableMessage):
            Adder.many(pid, [1])
        with pytest.raises(MutableMessage):
            Adder.many(pid, a=[1])
    finally:
        check_messages(False)
    stop(pid)


def test_sender_outside_a_call_says_what_it_is_for(crashes):
    """There is none in handle_info."""
    pid = Adder.start()
    seen = []

    class Looks(Adder):
        def handle_info(self, message):
            try:
                self.sender
            except RuntimeError as problem:
                seen.append(str(problem))

        @handles_call
        def me(self):
            return self.sender.__class__

    other = Looks.start()
    send(other, "look")
    assert Looks.me(other) is Call
    assert "handles_call" in seen[0]
    assert "sender" not in sys.get_state(other)
    stop(other)
    stop(pid)


def test_an_unknown_request_that_cannot_be_shown_ends_it_with_the_usual_reason(crashes):
    pid = Adder.start()

    class Unspeakable:
        def __repr__(self):
            raise ValueError("no repr")

    with pytest.raises(CallError) as info:
        call(pid, Unspeakable())
    assert "Undefined" in repr(info.value.reason)
    assert not is_alive(pid)


def test_a_request_shows_its_method_and_arguments():
    assert (
        repr(Asked("plus", (1,), (("times", 2),)))
        == "Asked(method='plus', arguments=(1,), options=(('times', 2),))"
    )
