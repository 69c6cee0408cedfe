"""The cases of OTP's gen_event_SUITE: handlers that come, go, fail, are swapped and supervised."""

from __future__ import annotations

import logging
from contextlib import contextmanager

import pytest

from runtime.kernel import call as plain_call
from runtime.kernel import (
    KILL,
    NOPROC,
    NORMAL,
    SHUTDOWN,
    TIMEOUT,
    BadName,
    CallError,
    Crash,
    Exit,
    ProcessExit,
    exit,
    is_alive,
    process_info,
    receive,
    receive_match,
    register,
    self_,
    send,
    sleep,
    spawn,
    trap_exit,
    unregister,
    whereis,
)
from runtime.otp import (
    AlreadyStarted,
    BadReturnValue,
    ChildSpec,
    Fail,
    NoReply,
    RequestIds,
    StartError,
    Stop,
    SupFlags,
    Supervisor,
    receive_response,
    reports,
    sys,
)
from runtime.otp.event_manager import (
    MISSING,
    EventExit,
    EventHandler,
    EventHandlerReport,
    EventManager,
    HandlerError,
    Remove,
    Swap,
    Swapped,
    add_handler,
    add_sup_handler,
    call,
    delete_handler,
    notify,
    send_request,
    stop,
    swap_handler,
    swap_sup_handler,
    sync_notify,
    which_handlers,
)
from runtime.testing import settle


class Dummy(EventHandler):
    """Does what it is told: functions it gets, as events, requests or messages, are called with it."""

    def init(self, tag="dummy", watcher=None, *, previous=None):
        self.tag = tag
        self.watcher = watcher
        self.previous = previous
        self.seen = []
        if callable(tag):
            return tag(self)
        return None

    def _do(self, kind, thing):
        if callable(thing):
            return thing(self)
        self.seen.append((kind, thing))
        if self.watcher is not None:
            send(self.watcher, (self.tag, kind, thing))
        return None

    def handle_event(self, event):
        return self._do("event", event)

    def handle_call(self, request):
        if request == "seen":
            return list(self.seen)
        return request(self) if callable(request) else ("echo", self.tag, request)

    def handle_info(self, message):
        return self._do("info", message)

    def terminate(self, reason):
        if self.watcher is not None:
            send(self.watcher, (self.tag, "terminate", reason))
        return ("left by", self.tag)


class Other(Dummy):
    """Another class of handler."""


class Bare(EventHandler):
    """Defines no callback."""


@contextmanager
def manager(name=None):
    pid = EventManager.start(name=name)
    try:
        yield pid
    finally:
        if is_alive(pid):
            stop(pid)


@contextmanager
def records(label="event_manager"):
    """Collect the reports of one label."""
    seen = []

    class Collect(logging.Handler):
        def emit(self, record):
            seen.append(record)

    handler, logger = Collect(), logging.getLogger(f"evergreen.{label}")
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield seen
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


def mail():
    found = []
    settle()
    while (message := receive(0)) is not TIMEOUT:
        found.append(message)
    return found


def raising(error):
    def fail(_handler):
        raise error

    return fail


def owning(pid, *args, traps=True):
    """A process that supervises a handler and passes on what it hears; ends by what it is sent: ProcessExit."""
    me = self_()

    def body():
        trap_exit(traps)
        add_sup_handler(pid, *args)
        send(me, "owned")
        while True:
            message = receive()
            if isinstance(message, BaseException):
                raise message
            send(me, ("owner heard", message))

    owner = spawn(body)
    assert receive(5) == "owned"
    return owner


# ------------------------------------------------------------------------------------------------------- starting


def test_start_forms_and_already_started():
    """gen_event_SUITE start: start, start_link and start_monitor, with and without a name; a name once only."""
    trap_exit(True)
    pid = EventManager.start(name="news")
    with pytest.raises(AlreadyStarted) as refused:
        EventManager.start_link(name="news")
    assert refused.value.pid is pid
    assert which_handlers("news") == []
    stop("news")
    assert whereis("news") is None

    linked = EventManager.start_link()
    assert process_info(self_(), "links")["links"] == [linked]
    stop(linked, SHUTDOWN)
    assert receive(1) == Exit(linked, SHUTDOWN)

    watched, ref = EventManager.start_monitor()
    stop(watched)
    assert receive(1).ref is ref


def test_a_manager_ends_with_its_parent_and_terminates_its_handlers():
    """gen_event start: the manager traps exits; its parent's exit of any reason ends it with terminate(stop)."""
    me = self_()
    trap_exit(True)

    def parent():
        pid = EventManager.start_link()
        add_handler(pid, Dummy, "h", me)
        send(me, pid)
        receive()

    owner = spawn(parent)
    pid = receive(5)
    send(owner, "end")
    assert receive(5) == ("h", "terminate", "stop")
    settle()
    assert not is_alive(pid)


def test_strangers_exit_is_a_message():
    """An exit signal of anybody else is handle_info of the handlers."""
    with manager() as pid:
        add_handler(pid, Dummy, "h", self_())
        exit(pid, "boom")
        assert receive(5) == ("h", "info", Exit(self_(), "boom"))
        assert is_alive(pid)


def test_a_manager_runs_under_a_supervisor():
    trap_exit(True)
    sup = Supervisor.start_link_with(
        SupFlags(), [ChildSpec("news", (EventManager.start_link, (), {"name": "news"}))]
    )
    first = whereis("news")
    exit(first, KILL)
    settle()
    assert whereis("news") not in (None, first)
    stop(sup)
    assert receive(1) == Exit(sup, NORMAL)


def test_stop_terminates_handlers_newest_first():
    """gen_event_SUITE stop: every handler's terminate(stop) runs before stop returns."""
    pid = EventManager.start()
    for tag in "ab":
        add_handler(pid, (Dummy, tag), tag, self_())
    stop(pid)
    assert mail() == [("b", "terminate", "stop"), ("a", "terminate", "stop")]
    with pytest.raises(CallError) as gone:
        stop(pid)
    assert gone.value.reason == NOPROC


# ------------------------------------------------------------------------------------------------- add and delete


def test_add_handler():
    """gen_event_SUITE add_handler: by class and by (class, id); the newest is first; init's refusal is the caller's."""
    with manager() as pid:
        add_handler(pid, Dummy)
        add_handler(pid, (Dummy, 1), "one")
        add_handler(pid, (Dummy, (2, "b")), "two")
        assert which_handlers(pid) == [(Dummy, (2, "b")), (Dummy, 1), Dummy]
        assert call(pid, (Dummy, 1), "x") == ("echo", "one", "x")
        assert call(pid, Dummy, "x") == ("echo", "dummy", "x")
        assert len(which_handlers(pid)) == 3


@pytest.mark.parametrize(
    ("play", "reason"),
    [
        (lambda h: Fail("not today"), "not today"),
        (lambda h: "garbage", BadReturnValue("garbage")),
        (lambda h: Stop("x"), None),
        (raising(ProcessExit("exited")), "exited"),
    ],
)
def test_add_handler_that_does_not_come_up(play, reason):
    """gen_event_SUITE add_handler: what init returns else, or raises, is told; nothing is added; the manager lives."""
    with manager() as pid:
        with pytest.raises(HandlerError) as refused:
            add_handler(pid, Dummy, play)
        if reason is not None:
            assert refused.value.reason == reason
        assert refused.value.handler is Dummy
        assert which_handlers(pid) == []


def test_add_handler_whose_init_raises():
    with manager() as pid:
        with pytest.raises(HandlerError) as refused:
            add_handler(pid, Dummy, raising(KeyError("no")))
        assert isinstance(refused.value.reason, Crash)
        assert refused.value.reason.error == "KeyError"
        with pytest.raises(TypeError):
            add_handler(pid, object)
        with pytest.raises(TypeError):
            add_handler(pid, "Dummy")


def test_delete_handler():
    """gen_event_SUITE delete_handler: terminate gets the argument, its result is returned; unknown: not_found."""
    with manager() as pid:
        add_handler(pid, Dummy, "a", self_())
        add_handler(pid, (Dummy, "id"), "b")
        assert delete_handler(pid, Dummy, "away") == ("left by", "a")
        assert receive(0) == ("a", "terminate", "away")
        assert which_handlers(pid) == [(Dummy, "id")]
        for unknown in (Dummy, (Dummy, "x"), Other):
            with pytest.raises(HandlerError) as refused:
                delete_handler(pid, unknown)
            assert refused.value.reason == "not_found"
        delete_handler(pid, (Dummy, "id"))
        assert which_handlers(pid) == []


def test_delete_handler_whose_terminate_fails():
    class Bad(Dummy):
        def terminate(self, reason):
            raise ValueError("no")

    with manager() as pid:
        add_handler(pid, Bad)
        result = delete_handler(pid, Bad)
        assert isinstance(result, Crash)
        assert which_handlers(pid) == []


# -------------------------------------------------------------------------------------------------------- notify


def test_notify():
    """gen_event_SUITE notify: an event goes to all handlers, newest first, in order; notify does not wait."""
    with manager("news") as pid:
        for tag in ("old", "new"):
            add_handler(pid, (Dummy, tag), tag, self_())
        notify(pid, "first")
        notify("news", "second")
        assert receive(0) is TIMEOUT
        assert mail() == [(tag, "event", e) for e in ("first", "second") for tag in ("new", "old")]
    with pytest.raises(BadName):
        notify("news", "x")
    notify(pid, "to the dead")


def test_sync_notify():
    """gen_event_SUITE sync_notify: returns when every handler is through with it."""
    with manager() as pid:
        for tag in ("a", "b"):
            add_handler(pid, (Dummy, tag), tag, self_())
        sync_notify(pid, "x")
        assert receive(0) == ("b", "event", "x")
        assert receive(0) == ("a", "event", "x")
        sync_notify(pid, raising(ValueError("fails")))
        assert which_handlers(pid) == []
    with pytest.raises(CallError) as gone:
        sync_notify(pid, "x")
    assert gone.value.reason == NOPROC


def test_other_messages_are_info():
    """gen_event_SUITE info: whatever else is sent to the manager goes to handle_info of all handlers."""
    with manager() as pid:
        add_handler(pid, (Dummy, 1), "one", self_())
        add_handler(pid, (Dummy, 2), "two", self_())
        send(pid, ("any", "thing"))
        assert mail() == [("two", "info", ("any", "thing")), ("one", "info", ("any", "thing"))]
        send(pid, lambda h: Remove() if h.tag == "one" else None)
        assert mail() == [("one", "terminate", "remove_handler")]
        assert which_handlers(pid) == [(Dummy, 2)]


def test_undefined_callbacks():
    """gen_event_SUITE undef_*: handle_info may be missing; handle_event and handle_call may not; terminate may."""
    with manager() as pid, records():
        add_handler(pid, Bare)
        send(pid, "info")
        assert which_handlers(pid) == [Bare]
        with pytest.raises(HandlerError) as refused:
            call(pid, Bare, "x")
        assert refused.value.reason.error.endswith("Undefined")
        assert which_handlers(pid) == []
        add_handler(pid, Bare)
        sync_notify(pid, "x")
        assert which_handlers(pid) == []
        add_handler(pid, Bare)
        assert delete_handler(pid, Bare) is None


# ---------------------------------------------------------------------------------------------------------- call


def test_call():
    """gen_event_SUITE call: one handler answers; unknown ones are refused; a slow one times out."""
    with manager() as pid:
        add_handler(pid, Dummy, "a")
        add_handler(pid, (Dummy, 1), "b")
        assert call(pid, Dummy, "q") == ("echo", "a", "q")
        assert call(pid, (Dummy, 1), "q") == ("echo", "b", "q")
        with pytest.raises(HandlerError) as refused:
            call(pid, Other, "q")
        assert refused.value.reason == "not_found"
        assert call(pid, Dummy, lambda h: None) is None
        assert call(pid, Dummy, lambda h: Remove("bye")) == "bye"
        assert which_handlers(pid) == [(Dummy, 1)]


def test_call_of_a_handler_that_fails():
    """gen_event_SUITE call: a handler that crashes in handle_call is removed; its caller is told, the manager lives."""
    with manager() as pid, records() as seen:
        for play, name in [
            (raising(ValueError("x")), "ValueError"),
            (raising(ProcessExit("out")), None),
            (lambda h: Stop("no"), None),
        ]:
            add_handler(pid, Dummy, "h", self_())
            with pytest.raises(HandlerError) as failed:
                call(pid, Dummy, play)
            if name:
                assert failed.value.reason.error == name
            assert mail() == [("h", "terminate", ("error", failed.value.reason))]
            assert which_handlers(pid) == []
        assert len(seen) == 3


def test_call_times_out_and_leaves_nothing(clock):
    with manager() as pid:
        add_handler(pid, Dummy)
        me = self_()

        def asker():
            with pytest.raises(CallError) as late:
                call(pid, Dummy, lambda h: sleep(10), 1.0)
            send(me, late.value.reason)

        spawn(asker)
        clock.advance(2)
        assert receive(0) == "timeout"
        clock.advance(20)


def test_call_of_a_manager_with_something_else():
    with manager() as pid:
        with pytest.raises(CallError) as refused:
            plain_call(pid, "what?")
        assert refused.value.reason == ("bad_request", "what?")


def test_send_request():
    """gen_event_SUITE send_request, *_reqid_collection: asked without waiting; refusals arrive as failures."""
    with manager() as pid:
        add_handler(pid, Dummy, "a")
        assert receive_response(send_request(pid, Dummy, 1), 5) == ("echo", "a", 1)
        with pytest.raises(CallError) as refused:
            receive_response(send_request(pid, Other, 1), 5)
        assert refused.value.reason.reason == "not_found"
        asked = RequestIds()
        first = send_request(pid, Dummy, 7)
        asked.add(first, "seven")
        answer = asked.receive(5)
        assert (answer.label, answer.value) == ("seven", ("echo", "a", 7))


# -------------------------------------------------------------------------------------------------------- failing


@pytest.mark.parametrize("way", ["raise", "exit", "bad return"])
def test_a_failing_handler_is_removed_and_the_manager_lives(way):
    """gen_event_SUITE error handling: terminate(error), a report, and the other handlers get the event all the same."""
    play = {
        "raise": raising(ValueError("broken")),
        "exit": raising(ProcessExit("broken")),
        "bad return": lambda h: "broken",
    }[way]
    with manager("news") as pid, records() as seen:
        add_handler(pid, Other, "good", self_())
        add_handler(pid, Dummy, "bad", self_())
        notify(pid, lambda h: play(h) if h.tag == "bad" else None)
        settle()
        tag, what, reason = receive(0)
        assert (tag, what, reason[0]) == ("bad", "terminate", "error")
        assert which_handlers(pid) == [Other]
        notify(pid, "next")
        assert ("good", "event", "next") in mail()
    (record,) = seen
    report = record.report
    assert isinstance(report, EventHandlerReport)
    assert (report.handler, report.manager) == (Dummy, "news")
    assert report.state["tag"] == "bad"
    assert "broken" in record.getMessage()


def test_a_report_is_redacted_by_format_status():
    """gen_event_SUITE error_format_status: state, message and reason as format_status shows them."""

    class Vault(Dummy):
        def format_status(self, status):
            return {key: "***" for key in status}

    with manager() as pid, records() as seen:
        add_handler(pid, Vault, "secret")
        notify(pid, raising(ValueError("secret")))
        settle()
    text = reports.render(seen[0].report)
    assert "secret" not in text
    assert "***" in text


def test_a_handler_that_ends_normally_by_exit_is_still_a_failure():
    with manager() as pid, records() as seen:
        add_handler(pid, Dummy)
        sync_notify(pid, raising(ProcessExit(NORMAL)))
        assert which_handlers(pid) == []
    assert len(seen) == 1


def test_remove_from_an_event():
    with manager() as pid, records() as seen:
        add_handler(pid, Dummy, "a", self_())
        notify(pid, lambda h: Remove())
        assert mail() == [("a", "terminate", "remove_handler")]
        assert which_handlers(pid) == []
    assert seen == []


# --------------------------------------------------------------------------------------------------- add_sup_handler


def test_add_sup_handler():
    """gen_event_SUITE add_sup_handler: links owner and manager; the owner's end removes the handler: terminate(stop)."""
    with manager() as pid:
        owner = owning(pid, (Dummy, "sup"), "s", self_())
        assert owner in process_info(pid, "links")["links"]
        assert which_handlers(pid) == [(Dummy, "sup")]
        send(owner, ProcessExit("done for"))
        assert receive(5) == ("s", "terminate", ("stop", "done for"))
        settle()
        assert which_handlers(pid) == []
        assert process_info(pid, "links")["links"] == []


def test_add_sup_handler_owner_ends_normally():
    """add_sup_handler: a normal end of the owner removes the handler too (the manager traps exits)."""
    with manager() as pid:
        owner = owning(pid, Dummy, "s", self_())
        send(owner, ProcessExit(NORMAL))
        assert receive(5) == ("s", "terminate", ("stop", NORMAL))


def test_add_sup_handler_owner_hears_of_every_end():
    """gen_event_EXIT: normal when deleted or removed by itself, the reason when it failed; and the link goes."""
    with manager() as pid, records():
        for end, why in [
            (lambda: delete_handler(pid, Dummy), NORMAL),
            (lambda: sync_notify(pid, lambda h: Remove()), NORMAL),
            (lambda: sync_notify(pid, raising(ProcessExit("broken"))), "broken"),
            (lambda: sync_notify(pid, lambda h: 7), BadReturnValue(7)),
        ]:
            owner = owning(pid, Dummy)
            end()
            assert receive(5) == ("owner heard", EventExit(pid, Dummy, why))
            assert process_info(pid, "links")["links"] == []
            exit(owner, KILL)


def test_add_sup_handler_manager_stops():
    """gen_event_EXIT shutdown when the manager is stopped; its end is no exit signal to an owner."""
    pid = EventManager.start()
    owner = owning(pid, Dummy, traps=False)
    stop(pid, "why not")
    assert receive(5) == ("owner heard", EventExit(pid, Dummy, SHUTDOWN))
    settle()
    assert is_alive(owner)
    exit(owner, KILL)


def test_add_sup_handler_manager_is_killed():
    """A manager that is killed takes owners with it that do not trap exits."""
    pid = EventManager.start()
    owner = owning(pid, Dummy, traps=False)
    exit(pid, KILL)
    settle()
    assert not is_alive(owner)


def test_add_sup_handler_that_fails_leaves_no_link():
    trap_exit(True)
    with manager() as pid:
        with pytest.raises(HandlerError):
            add_sup_handler(pid, Dummy, lambda h: Fail("no"))
        assert process_info(pid, "links")["links"] == []
        assert process_info(self_(), "links")["links"] == []


def test_a_parent_that_owns_a_handler_stays_linked():
    """The link with the parent is not the handler's: it stays when the handler goes."""
    trap_exit(True)
    pid = EventManager.start_link()
    add_sup_handler(pid, Dummy)
    delete_handler(pid, Dummy)
    assert receive(0) == EventExit(pid, Dummy, NORMAL)
    assert process_info(pid, "links")["links"] == [self_()]
    stop(pid)
    assert receive(1) == Exit(pid, NORMAL)


def test_an_owner_of_two_handlers_stays_linked_until_the_last():
    with manager() as pid:
        trap_exit(True)
        add_sup_handler(pid, (Dummy, 1))
        add_sup_handler(pid, (Dummy, 2))
        delete_handler(pid, (Dummy, 1))
        assert process_info(pid, "links")["links"] == [self_()]
        delete_handler(pid, (Dummy, 2))
        assert process_info(pid, "links")["links"] == []
        assert [m.handler for m in mail()] == [(Dummy, 1), (Dummy, 2)]


# ----------------------------------------------------------------------------------------------------------- swap


def test_swap_handler():
    """gen_event_SUITE swap_handler: terminate's result goes to the new init; no event is lost in between."""
    with manager() as pid:
        add_handler(pid, Dummy, "old", self_())
        notify(pid, 1)
        swap_handler(pid, Dummy, "swapping", (Other, "x"), "new", self_())
        notify(pid, 2)
        assert which_handlers(pid) == [(Other, "x")]
        assert call(pid, (Other, "x"), lambda h: h.previous) == ("left by", "old")
        assert mail() == [
            ("old", "event", 1),
            ("old", "terminate", "swapping"),
            ("new", "event", 2),
        ]


def test_swap_handler_that_is_not_there():
    """swap_handler: the new one comes in all the same, and is told that there was none."""
    with manager() as pid:
        swap_handler(pid, Dummy, None, Other, "new")
        assert call(pid, Other, lambda h: h.previous) is MISSING


def test_swap_handler_whose_init_fails():
    with manager() as pid:
        add_handler(pid, Dummy)
        with pytest.raises(HandlerError) as refused:
            swap_handler(pid, Dummy, None, Other, lambda h: Fail("no"))
        assert (refused.value.handler, refused.value.reason) == (Other, "no")
        assert which_handlers(pid) == []


def test_swap_handler_keeps_the_owner():
    """swap_handler of a supervised handler: its owner is told, and supervises the new one."""
    with manager() as pid:
        owner = owning(pid, Dummy)
        swap_handler(pid, Dummy, None, Other, "new", self_())
        assert receive(5) == ("owner heard", EventExit(pid, Dummy, Swapped(Other, owner)))
        assert owner in process_info(pid, "links")["links"]
        send(owner, ProcessExit("gone"))
        assert receive(5) == ("new", "terminate", ("stop", "gone"))
        settle()
        assert which_handlers(pid) == []


def test_swap_sup_handler():
    """gen_event_SUITE swap_sup_handler: the caller owns the new one; the old owner hears who has it now."""
    trap_exit(True)
    with manager() as pid:
        before = owning(pid, Dummy, "old")
        swap_sup_handler(pid, Dummy, "arg", Other, "new")
        assert receive(5) == ("owner heard", EventExit(pid, Dummy, Swapped(Other, self_())))
        assert call(pid, Other, lambda h: h.previous) == ("left by", "old")
        assert process_info(pid, "links")["links"] == [self_()]
        exit(before, KILL)
        settle()
        assert which_handlers(pid) == [Other]
        delete_handler(pid, Other)
        assert receive(0) == EventExit(pid, Other, NORMAL)


def test_swap_from_a_callback():
    """gen_event_SUITE: handle_event, handle_info and handle_call may return swap_handler."""
    with manager() as pid:
        add_handler(pid, Dummy, "a", self_())
        notify(pid, lambda h: Swap("bye", Other, "b", self_()))
        settle()
        assert which_handlers(pid) == [Other]
        assert receive(0) == ("a", "terminate", "bye")
        answer = call(pid, Other, lambda h: Swap("bye", (Dummy, 3), "c", reply="swapped"))
        assert answer == "swapped"
        assert call(pid, (Dummy, 3), lambda h: h.previous) == ("left by", "b")


# ---------------------------------------------------------------------------------------------- sys and hibernation


def test_hibernate():
    """gen_event_SUITE hibernate: a callback's hibernate holds until the next message; a system message does not wake."""
    with manager() as pid:
        add_handler(pid, Dummy)
        notify(pid, lambda h: NoReply(hibernate=True))
        assert sys.get_status(pid).hibernated
        assert sys.get_status(pid).hibernated
        assert call(pid, Dummy, "x") == ("echo", "dummy", "x")
        assert not sys.get_status(pid).hibernated
        add_handler(pid, (Dummy, 2), lambda h: NoReply(hibernate=True))
        assert sys.get_status(pid).hibernated


def test_get_state_and_replace_state():
    """gen_event_SUITE get_state, replace_state: per handler; a function that fails for one leaves that one as it is."""
    with manager() as pid:
        add_handler(pid, (Dummy, 1), "one")
        add_handler(pid, (Dummy, 2), "two")
        assert [(kind, name, state["tag"]) for kind, name, state in sys.get_state(pid)] == [
            (Dummy, 2, "two"),
            (Dummy, 1, "one"),
        ]

        def change(entry):
            kind, name, state = entry
            if name == 2:
                raise ValueError("not this one")
            return kind, name, {**state, "tag": "changed"}

        sys.suspend(pid)
        sys.replace_state(pid, change)
        assert [state["tag"] for _, _, state in sys.get_state(pid)] == ["two", "changed"]
        notify(pid, "held")
        settle()
        assert [state["seen"] for _, _, state in sys.get_state(pid)] == [[], []]
        sys.resume(pid)
        assert call(pid, (Dummy, 1), "seen") == [("event", "held")]


def test_get_status_shows_what_format_status_returns():
    class Vault(Dummy):
        def format_status(self, status):
            return {**status, "state": "hidden"}

    with manager("news") as pid:
        add_handler(pid, Vault)
        assert sys.get_status(pid).state == [(Vault, None, "hidden")]
        assert sys.get_status(pid).name == "news"


def test_code_change():
    """gen_event_SUITE undef_code_change and code change: handlers of the class, all or none."""

    class Changing(Dummy):
        def code_change(self, old, extra):
            self.tag = f"{self.tag}-{old}-{extra}"

    class Refusing(Changing):
        def code_change(self, old, extra):
            self.tag = "half"
            raise ValueError("no")

    with manager() as pid:
        add_handler(pid, Changing, "c")
        sys.suspend(pid)
        sys.change_code(pid, Changing, 1, "x")
        sys.resume(pid)
        assert call(pid, Changing, "q") == ("echo", "c-1-x", "q")
        add_handler(pid, Refusing, "r")
        sys.suspend(pid)
        with pytest.raises(sys.CallbackFailed):
            sys.change_code(pid, Refusing.__module__, 2)
        sys.resume(pid)
        assert call(pid, Refusing, "q") == ("echo", "r", "q")
        assert call(pid, Changing, "q") == ("echo", "c-1-x", "q")


def test_a_handler_may_block_and_the_manager_serves_afterwards():
    """A handler that calls another process holds the manager, as in OTP; the queue is served in order."""
    with manager() as pid:
        add_handler(pid, Dummy, "a", self_())
        notify(pid, lambda h: send(h.watcher, receive_match(lambda m: m == "unblock", 5)) and None)
        notify(pid, "later")
        settle()
        assert receive(0) is TIMEOUT
        send(pid, "unblock")
        assert mail()[1:] == [("a", "event", "later")]


def test_start_of_a_name_taken_by_a_plain_process():
    register("taken", self_())
    try:
        with pytest.raises(StartError):
            EventManager.start(name="taken")
    finally:
        unregister("taken")
