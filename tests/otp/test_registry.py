"""Elixir's Registry, restated: by the names of its own tests, with one and with eight partitions."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from runtime import kernel
from runtime.kernel import (
    KILL,
    TIMEOUT,
    BadName,
    CallError,
    Down,
    Exit,
    call,
    cast,
    is_alive,
    receive,
    self_,
    send,
)
from runtime.otp import AlreadyStarted, GenServer, StartError, Supervisor, SupFlags, proc_lib, registry
from runtime.otp.registry import (
    ANY, AlreadyRegistered, Entry, Registered, Registry, Row, UnknownRegistry, Unregistered, Via,
)  # fmt: skip
from runtime.otp.registry_lock import Acquire
from runtime.testing import settle
from tests.support.servers import Puppet

UNIQUE = [("unique", 1), ("unique", 8)]
DUPLICATE = [("duplicate", 1), ("duplicate", 8)]
BOTH = UNIQUE + DUPLICATE


@contextmanager
def running(kind="unique", partitions=1, **options):
    kernel.trap_exit(True)
    pid = Registry.start_link(kind, name="reg", partitions=partitions, **options)
    try:
        yield pid
        if is_alive(pid):
            registry._tables["reg"]._check()
    finally:
        if is_alive(pid):
            proc_lib.stop(pid)
        assert receive(0) == Exit(pid, pid.reason)
        assert "reg" not in registry._tables


class Holder:
    """A process without a stack, to be registered."""

    def on_message(self, process, message):
        if callable(message):
            message()


@contextmanager
def holding(key, value="value", registry_name="reg"):
    """A process that registers itself."""
    pid = kernel.spawn_callback(Holder())
    try:
        registry.register(registry_name, key, value, pid=pid)
        yield pid
    finally:
        kernel.exit(pid, KILL)


def kill(pid):
    ref = kernel.monitor(pid)
    kernel.exit(pid, KILL)
    assert receive(0) == Down(ref, pid, "killed")


# ------------------------------------------------------------------------------------------------------- unique


@pytest.mark.parametrize(("kind", "n"), BOTH)
def test_starts_configured_number_of_partitions(kind, n):
    """Registry "starts configured number of partitions"."""
    with running(kind, n):
        assert registry.partitions("reg") == n


@pytest.mark.parametrize(("kind", "n"), UNIQUE)
def test_has_unique_registrations(kind, n):
    """Registry "has unique registrations"."""
    with running(kind, n):
        registry.register("reg", "hello", "value")
        assert registry.keys("reg", self_()) == ["hello"]
        with pytest.raises(AlreadyRegistered) as refused:
            registry.register("reg", "hello", "value")
        assert refused.value.pid is self_()
        assert registry.keys("reg", self_()) == ["hello"]
        registry.register("reg", "world", "value")
        assert registry.keys("reg", self_()) == ["hello", "world"]
        assert registry.count("reg") == 2


@pytest.mark.parametrize(("kind", "n"), UNIQUE)
def test_has_unique_registrations_across_processes(kind, n):
    """Registry "has unique registrations across processes"."""
    with running(kind, n), holding("hello") as other:
        with pytest.raises(AlreadyRegistered) as refused:
            registry.register("reg", "hello", "recent")
        assert refused.value.pid is other
        assert registry.keys("reg", self_()) == []
        assert registry.lookup("reg", "hello") == [Entry(other, "value")]


@pytest.mark.parametrize(("kind", "n"), UNIQUE)
def test_has_unique_registrations_even_if_partition_is_delayed(kind, n):
    """Registry "has unique registrations even if partition is delayed": a dead holder is none, whatever the registry's
    own process is doing."""
    with running(kind, n) as reg, holding("hello") as other:
        from runtime.otp import sys

        sys.suspend(reg)
        kill(other)
        registry.register("reg", "hello", "other")
        assert registry.lookup("reg", "hello") == [Entry(self_(), "other")]
        sys.resume(reg)


@pytest.mark.parametrize(("kind", "n"), UNIQUE)
def test_does_not_grow_on_already_registered(kind, n):
    """Registry "doesn't grow ets on already_registered": and "... across processes"."""
    with running(kind, n), holding("hello") as other:
        registry.register("reg", "mine")
        table = registry._tables["reg"]
        watchers = len(self_().monitored_by or ())
        for _ in range(10):
            for key in ("hello", "mine"):
                with pytest.raises(AlreadyRegistered):
                    registry.register("reg", key, "again")
        assert registry.count("reg") == 2
        assert set(table.holdings) == {other, self_()}
        assert list(table.holdings[self_()].keys) == ["mine"]
        assert len(self_().monitored_by or ()) == watchers
        with running_other() as _:
            pass


@contextmanager
def running_other():
    """A process whose only attempt was refused leaves no trace."""
    pid = kernel.spawn_callback(Holder())
    with pytest.raises(AlreadyRegistered):
        registry.register("reg", "hello", pid=pid)
    assert pid not in registry._tables["reg"].holdings
    assert not pid.monitored_by
    yield pid
    kernel.exit(pid, KILL)


@pytest.mark.parametrize(("kind", "n"), UNIQUE)
def test_updates_current_process_value(kind, n):
    """Registry "updates current process value": only one's own; a function that raises changes nothing."""

    def never(_old):
        raise AssertionError("called")

    with running(kind, n), holding("hello"):
        assert registry.update_value("reg", "nobody's", never) is None
        assert registry.update_value("reg", "hello", never) is None
        registry.register("reg", "world", 1)
        assert registry.update_value("reg", "world", lambda n: n + 1) == (2, 1)
        assert registry.lookup("reg", "world") == [Entry(self_(), 2)]
        with pytest.raises(AssertionError):
            registry.update_value("reg", "world", never)
        assert registry.values("reg", "world", self_()) == [2]
        assert registry.update_value("reg", "world", lambda _: registry.unregister("reg", "world")) is None
        assert registry.lookup("reg", "world") == []


@pytest.mark.parametrize(("kind", "n"), UNIQUE)
def test_dispatches_to_a_single_key(kind, n):
    """Registry "dispatches to a single key"."""
    with running(kind, n):
        registry.dispatch("reg", "hello", lambda entries: 1 / 0)
        registry.register("reg", "hello", "value")
        registry.dispatch("reg", "hello", lambda entries: [send(pid, value) for pid, value in entries])
        assert receive(0) == "value"


@pytest.mark.parametrize(("kind", "n"), BOTH)
def test_allows_process_unregistering(kind, n):
    """Registry "allows process unregistering"; "allows unregistering with no entries"; another's entry stays."""
    with running(kind, n), holding("other") as other:
        registry.unregister("reg", "hello")
        registry.unregister("reg", "other")
        assert registry.lookup("reg", "other") == [Entry(other, "value")]
        registry.register("reg", "hello")
        registry.register("reg", "world")
        assert registry.keys("reg", self_()) == ["hello", "world"]
        registry.unregister("reg", "hello")
        assert registry.keys("reg", self_()) == ["world"]
        registry.unregister("reg", "world")
        assert registry.keys("reg", self_()) == []
        assert self_() not in registry._tables["reg"].holdings
        assert not self_().monitored_by


def test_many_keys_of_one_process():
    """Registry: a process may have any number of keys, and loses all with its life."""
    with running("unique", 4):
        pid = kernel.spawn_callback(Holder())
        for key in range(20):
            registry.register("reg", key, key * 2, pid=pid)
        assert registry.keys("reg", pid) == list(range(20))
        assert registry.count("reg") == 20
        registry._tables["reg"]._check()
        kill(pid)
        assert registry.count("reg") == 0
        assert not registry._tables["reg"].holdings


def test_compares_keys_as_dictionaries_do():
    """Registry "compares using ===": not here; 1 and 1.0 are one key, and a key must be hashable."""
    with running():
        registry.register("reg", 1)
        with pytest.raises(AlreadyRegistered):
            registry.register("reg", 1.0)
        with pytest.raises(TypeError):
            registry.register("reg", [])
        assert registry.count("reg") == 1


# ------------------------------------------------------------------------------------------------------ duplicate


@pytest.mark.parametrize(("kind", "n"), DUPLICATE)
def test_has_duplicate_registrations(kind, n):
    """Registry "has duplicate registrations"."""
    with running(kind, n), holding("hello") as other:
        for key in ("hello", "hello", "world"):
            registry.register("reg", key, key)
        assert registry.keys("reg", self_()) == ["hello", "hello", "world"]
        assert registry.lookup("reg", "hello") == [
            Entry(other, "value"),
            Entry(self_(), "hello"),
            Entry(self_(), "hello"),
        ]
        assert registry.values("reg", "hello", self_()) == ["hello", "hello"]
        assert registry.count("reg") == 4
        registry.unregister("reg", "hello")
        assert registry.keys("reg", self_()) == ["world"]
        assert registry.lookup("reg", "hello") == [Entry(other, "value")]


@pytest.mark.parametrize(("kind", "n"), DUPLICATE)
def test_dispatches_to_multiple_keys_in_serial(kind, n):
    """Registry "dispatches to multiple keys in serial": once, in the caller, with all entries."""
    with running(kind, n):
        for key, value in (("hello", 1), ("hello", 2), ("world", 3)):
            registry.register("reg", key, value)
        calls = []
        registry.dispatch("reg", "hello", lambda entries: calls.append((self_(), [v for _, v in entries])))
        assert calls == [(self_(), [1, 2])]


def test_duplicate_registries_refuse_what_needs_one_process():
    """Registry "raises if attempt to be used on via"; update_value and whereis likewise."""
    with running("duplicate"):
        for attempt in (
            lambda: registry.whereis("reg", "hello"),
            lambda: registry.update_value("reg", "hello", str),
            lambda: cast(Via("reg", "hello"), "x"),
            lambda: Via("reg", "hello").claim(self_()),
        ):
            with pytest.raises(ValueError, match="duplicate"):
                attempt()


# ---------------------------------------------------------------------------------------------- match and select


@pytest.mark.parametrize(("kind", "n"), BOTH)
def test_supports_match_patterns_and_guards(kind, n):
    """Registry "supports match patterns", "supports guard conditions", "count_match ..."."""
    with running(kind, n):
        value = (1, "atom", 2)
        registry.register("reg", "hello", value)
        mine = [Entry(self_(), value)]
        for pattern, found in (
            ((1, ANY, ANY), mine), ((2, ANY, ANY), []), ((ANY, "atom", ANY), mine), ((ANY, ANY), []), (ANY, mine), (value, mine),
            (lambda v: v[2] > 1, mine), (lambda v: v[2] > 2, []),
        ):  # fmt: skip
            assert registry.match("reg", "hello", pattern) == found
            assert registry.count_match("reg", "hello", pattern) == len(found)
        assert registry.match("reg", ANY, ANY) == []
        registry.register("reg", "world", {"a": "a", "b": ("b", 1)})
        assert len(registry.match("reg", "world", {"b": ("b", ANY)})) == 1
        assert registry.match("reg", "world", {"c": ANY}) == []


@pytest.mark.parametrize(("kind", "n"), UNIQUE)
def test_unregister_match_supports_patterns_in_a_unique_registry(kind, n):
    """Registry "unregister_match supports patterns", "... guards"."""
    with running(kind, n):
        registry.register("reg", "hello", (1, "atom", 1))
        registry.unregister_match("reg", "hello", (2, ANY, ANY))
        assert registry.count("reg") == 1
        registry.unregister_match("reg", "hello", lambda v: v[0] < 2)
        assert registry.lookup("reg", "hello") == []
        assert registry.keys("reg", self_()) == []
        assert not self_().monitored_by


@pytest.mark.parametrize(("kind", "n"), DUPLICATE)
def test_unregister_match_supports_patterns_in_a_duplicate_registry(kind, n):
    """Registry "unregister_match supports patterns", "... tricky keys": only the entries that match, only the caller's."""
    with running(kind, n), holding("hello", 1) as other:
        for key, value in (("hello", 1), ("hello", 2), (ANY, 1)):
            registry.register("reg", key, value)
        registry.unregister_match("reg", "hello", 1)
        assert registry.lookup("reg", "hello") == [Entry(other, 1), Entry(self_(), 2)]
        assert registry.count("reg") == 3
        assert registry.keys("reg", self_()) == ["hello", ANY]
        registry.unregister_match("reg", "hello", ANY)
        assert registry.keys("reg", self_()) == [ANY]
        assert registry.lookup("reg", ANY) == [Entry(self_(), 1)]


@pytest.mark.parametrize(("kind", "n"), BOTH)
def test_select(kind, n):
    """Registry select, count_select: over all keys; bounded."""
    with running(kind, n), holding("other", 9) as other:
        for key in "abc":
            registry.register("reg", key, ord(key))
        me = self_()
        assert sorted(registry.select("reg"), key=lambda row: row.key) == [
            Row("a", me, 97), Row("b", me, 98), Row("c", me, 99), Row("other", other, 9),
        ]  # fmt: skip
        assert registry.select("reg", lambda row: row.pid is other) == [Row("other", other, 9)]
        assert registry.count_select("reg", lambda row: row.value > 97) == 2
        assert len(registry.select("reg", limit=3)) == 3
        assert registry.select("reg", limit=0) == []
        with pytest.raises(ValueError, match="limit"):
            registry.select("reg", limit=-1)


def test_select_lets_others_run():
    """Registry: looking through many entries does not hold up the node; entries that go meanwhile do no harm."""
    with running("duplicate"):
        pids = [kernel.spawn_callback(Holder()) for _ in range(3000)]
        for n, pid in enumerate(pids):
            registry.register("reg", n, pid=pid)
        ran = []

        def body():
            ran.append(True)
            for pid in pids[1500:]:
                kernel.exit(pid, KILL)

        kernel.spawn(body)
        found = registry.select("reg", lambda row: not ran or row.key >= 0)
        assert ran
        assert 1500 <= len(found) < 3000
        for pid in pids:
            kernel.exit(pid, KILL)


# ------------------------------------------------------------------------------------------------ deaths and links


@pytest.mark.parametrize(("kind", "n"), BOTH)
def test_clean_up_registry_on_process_crash(kind, n):
    """Registry "clean up registry on process crash": nothing of it is left, at the moment the death is known."""
    with running(kind, n):
        with holding("hello") as one, holding("world") as two:
            kill(one)
            assert registry.lookup("reg", "hello") == []
            kill(two)
        table = registry._tables["reg"]
        assert table.parts == [{} for _ in range(n)]
        assert table.holdings == {}
        assert registry.count("reg") == 0


def test_entries_are_gone_before_the_death_is_heard_of():
    """Registry: entries vanish with their process; here before any monitor or link tells of it."""
    with running(), holding("hello") as other:
        kernel.link(other)
        kernel.exit(other, "boom")
        assert registry.lookup("reg", "hello") == []
        assert receive(0) == Exit(other, "boom")


def test_a_process_registers_anew_while_it_dies_no_more():
    """Registry: a dead process cannot come back by registering."""
    with running():
        done = []

        def body():
            try:
                receive()
            finally:
                try:
                    registry.register("reg", "late")
                except BaseException as error:
                    done.append(type(error).__name__)

        pid = kernel.spawn(body)
        settle()
        kernel.exit(pid, KILL)
        settle()
        assert done == ["Killed"]
        with pytest.raises(ValueError, match="dead"):
            registry.register("reg", "late", pid=pid)
        assert registry.count("reg") == 0


@pytest.mark.parametrize(
    ("reason", "seen"), [("boom", "boom"), (KILL, "killed"), ("shutdown", "shutdown"), ("normal", None)]
)
def test_registered_processes_end_with_their_registry(reason, seen):
    """Registry "links and unlinks on register/unregister": as if linked; not those that unregistered; not for normal."""
    with running() as reg:
        with holding("a") as plain:
            trapping = kernel.spawn(lambda: (kernel.trap_exit(True), receive(), send(me, receive())))
            left = kernel.spawn(
                lambda: (registry.register("reg", "c"), registry.unregister("reg", "c"), receive())
            )
            me = self_()
            settle()
            registry.register("reg", "b", pid=trapping)
            send(trapping, "go on")
            settle()
            if reason == KILL:
                kernel.exit(reg, KILL)
            else:
                proc_lib.stop(reg, reason)
            settle()
            assert (plain.reason if not is_alive(plain) else None) == seen
            assert is_alive(left)
            kernel.exit(left, KILL)
            got = [receive(0), receive(0)]
            assert Exit(reg, seen or "normal") in got  # the test is the registry's parent
            assert got.count(Exit(reg, seen or "normal")) == 2  # and got the trapping one's
        assert registry._tables == {}
        kernel.send(self_(), Exit(reg, reg.reason))  # what `running` looks for


def test_whoever_ends_the_registry_takes_the_others_along():
    """Registry: a registered process may end it; the rest of its processes come to their end all the same."""
    with running() as reg:
        culprit = kernel.spawn(lambda: (receive(), kernel.exit(reg, KILL)))
        others = [kernel.spawn_callback(Holder()) for _ in range(2)]
        for key, pid in enumerate([others[0], culprit, others[1]]):
            registry.register("reg", key, pid=pid)
        send(culprit, "go on")
        settle()
        assert [p.reason for p in (culprit, *others)] == ["killed", "killed", "killed"]


def test_a_restarted_registry_is_empty():
    """Registry: under a supervisor; its table starts anew."""
    kernel.trap_exit(True)
    sup = Supervisor.start_link_with(SupFlags(), [Registry.child_spec("unique", name="reg", partitions=2)])
    with holding("hello"):
        first = kernel.whereis("reg")
        kernel.exit(first, KILL)
        settle()
        assert kernel.whereis("reg") is not first
        assert registry.lookup("reg", "hello") == []
        assert registry.partitions("reg") == 2
    proc_lib.stop(sup)


# ------------------------------------------------------------------------------------------- listeners, meta, names


@pytest.mark.parametrize(("kind", "n"), BOTH)
def test_allows_listeners(kind, n):
    """Registry "allows listeners": told of registering, leaving and dying; one that is not there is no error."""
    kernel.register("listener", self_())
    with running(kind, n, listeners=["listener", "nobody"]):
        with holding("hello", "world") as other:
            assert receive(0) == Registered("reg", "hello", other, "world")
            registry.register("reg", "mine", 1)
            assert receive(0) == Registered("reg", "mine", self_(), 1)
            registry.unregister("reg", "mine")
            assert receive(0) == Unregistered("reg", "mine", self_())
            registry.unregister("reg", "mine")
            assert receive(0) is TIMEOUT
        assert receive(0) == Unregistered("reg", "hello", other)
    kernel.unregister("listener")


def test_meta():
    """Registry meta, put_meta, delete_meta."""
    with running(meta={"a": 1}):
        assert registry.meta("reg", "a") == 1
        assert registry.meta("reg", "b", "none") == "none"
        registry.put_meta("reg", "b", 2)
        registry.delete_meta("reg", "a")
        registry.delete_meta("reg", "a")
        assert (registry.meta("reg", "a"), registry.meta("reg", "b")) == (None, 2)


def test_raises_on_unknown_registry_name():
    """Registry "raises on unknown registry name"; bad options are refused before there is a process."""
    for attempt in (registry.register, registry.lookup, registry.unregister, registry.whereis):
        with pytest.raises(UnknownRegistry, match="unknown"):
            attempt("unknown", "hello")
    for options in (
        {"keys": "both"},
        {"partitions": 0},
        {"partitions": True},
        {"name": ""},
        {"listeners": "one"},
    ):
        with pytest.raises((ValueError, TypeError)):
            Registry.start_link(**{"name": "reg", **options})
    with running() as reg:
        with pytest.raises(AlreadyStarted) as refused:
            Registry.start_link(name="reg")
        assert refused.value.pid is reg
    assert Registry.child_spec(name="custom").id == "custom"


def test_via_callbacks():
    """Registry "via callbacks": start under a name, call, cast, send, look up; taken; free after a crash in init."""
    with running():
        name = Via("reg", "hello", "value")
        pid = Puppet.start(name=name)
        assert registry.lookup("reg", "hello") == [Entry(pid, "value")]
        assert call(name, 1) == ("echo", 1)
        cast(Via("reg", "hello"), "cast")
        send(name, "info")
        assert call(name, "seen") == [("cast", "cast"), ("info", "info")]
        assert kernel.whereis(name) is pid
        assert kernel.wait_response(kernel.request(name, 2), 0.5) == ("echo", 2)
        with pytest.raises(AlreadyStarted) as refused:
            Puppet.start(name=name)
        assert refused.value.pid is pid
        ref = kernel.monitor(name)
        proc_lib.stop(name)
        assert receive(0) == Down(ref, name, "normal")
        assert not is_alive(pid)
        with pytest.raises(BadName):
            send(name, "nobody")
        cast(name, "nobody")
        with pytest.raises(CallError) as failed:
            call(name, "nobody")
        assert failed.value.reason == "noproc"
        with pytest.raises(CallError) as failed:
            proc_lib.stop(name)
        assert failed.value.reason == "noproc"
        ref = kernel.monitor(name)
        assert receive(0) == Down(ref, name, "noproc")


def test_a_via_name_is_free_after_a_failed_start(crashes):
    """gen_server_SUITE start, with via names: taken before init runs, gone when the start returns."""
    with running():
        name = Via("reg", "hello")
        seen = []

        class Failing(GenServer):
            def init(self):
                seen.append(name.whereis() is self_())
                raise ValueError("no")

        with pytest.raises(StartError):
            Failing.start(name=name)
        assert seen == [True]
        assert registry.count("reg") == 0
        pid = proc_lib.start_link(lambda: (proc_lib.init_ack(), receive()), name=name)
        assert registry.whereis("reg", "hello") is pid
        kernel.unlink(pid)
        kernel.exit(pid, KILL)
        assert name == Via("reg", "hello", "another value") != Via("reg", "other")
        assert len({name, Via("reg", "hello", 3)}) == 1


def test_messages_to_a_via_name_of_no_registry():
    """Registry: while it is being restarted, its names are as those of nobody."""
    name = Via("nowhere", "x")
    with pytest.raises(CallError) as failed:
        call(name, "hello")
    assert failed.value.reason == "noproc"
    cast(name, "hello")
    with pytest.raises(BadName):
        send(name, "hello")
    assert kernel.whereis(name) is None
    ref = kernel.monitor(name)
    assert receive(0) == Down(ref, name, "noproc")


def test_start_under_a_via_name_of_no_registry():
    """gen_server_SUITE start: a name that cannot be given starts nothing."""
    before = kernel.process_count()
    with pytest.raises(UnknownRegistry):
        Puppet.start(name=Via("nowhere", "x"))
    assert kernel.process_count() == before
    with running("duplicate"), pytest.raises(ValueError, match="duplicate"):
        Puppet.start(name=Via("reg", "x"))


@pytest.mark.parametrize(("kind", "n"), BOTH)
def test_a_key_that_cannot_be_one_leaves_nothing_behind(kind, n):
    """Ours: refused, before anything is noted; the process's other keys go with it as ever."""
    with running(kind, n):
        with holding("good") as pid:
            for bad in ([], {}, ("a", [])):
                with pytest.raises(TypeError):
                    registry.register("reg", bad, pid=pid)
            assert registry.keys("reg", pid) == ["good"]
            with pytest.raises(TypeError):
                registry.register("reg", [])
            assert registry.keys("reg", self_()) == []
        settle()
        assert registry.count("reg") == 0


@pytest.mark.parametrize("bad", [0, "", ("a", 1, 2), None])
def test_a_listener_that_can_be_none_is_refused(bad):
    """Elixir Registry.start_link: a bad option is refused before there is a registry."""
    with pytest.raises(TypeError, match="neither a name nor a pid"):
        Registry.start_link("unique", name="reg", listeners=["fine", bad])
    assert "reg" not in registry._tables


# ---------------------------------------------------------------------------------------------------------- locks


def _locked(test, key, name):
    """Hold a lock until told to end, one way or another."""

    def inside():
        send(test, ("in", name))
        how = receive()
        if how == "raise":
            raise KeyError(name)
        return how

    try:
        send(test, ("out", name, registry.lock("reg", key, inside)))
    except KeyError:
        send(test, ("out", name, "raised"))


def test_lock_lets_one_in_at_a_time_in_order():
    """Elixir Registry.lock/3: only one function at a time under a key, in the caller; others wait."""
    with running():
        first, second, third = (
            kernel.spawn(_locked, self_(), "k", name) for name in ("first", "second", "third")
        )
        assert receive(1) == ("in", "first")
        settle()
        assert receive(0) is TIMEOUT
        assert registry.lock("reg", "another", lambda: registry.register("reg", "k")) is None
        send(first, "raise")
        assert {receive(1), receive(1)} == {("out", "first", "raised"), ("in", "second")}
        send(second, "done")
        assert {receive(1), receive(1)} == {("out", "second", "done"), ("in", "third")}
        send(third, "done")
        assert receive(1) == ("out", "third", "done")
        settle()
        assert registry._tables["reg"].owner.behaviour.locks.held == {}


def test_lock_of_one_that_dies_is_passed_on():
    """Elixir Registry.lock/3: the lock is released when its holder ends; those that died waiting are passed over."""
    with running() as owner:
        first, second, third = (
            kernel.spawn(_locked, self_(), "k", name) for name in ("first", "second", "third")
        )
        assert receive(1) == ("in", "first")
        settle()
        kernel.exit(second, KILL)
        kernel.exit(first, KILL)
        assert receive(1) == ("in", "third")
        kernel.exit(third, KILL)
        settle()
        assert owner.behaviour.locks.held == {}
        assert not kernel.process_info(owner, "monitors")["monitors"]
        assert registry.lock("reg", "k", lambda: 7) == 7


def test_lock_of_one_that_dies_before_it_can_let_go():
    """Ours: one that ends between the grant and the first line of its function holds nothing up, nor do two locks."""

    def take(test):
        assert kernel.call(owner, Acquire("k"), None)
        assert kernel.call(owner, Acquire("l"), None)
        send(test, "has them")

    with running() as owner:
        kernel.spawn(take, self_())
        assert receive(1) == "has them"
        assert registry.lock("reg", "k", lambda: 1) == 1
        assert registry.lock("reg", "l", lambda: 2) == 2
        settle()
        assert owner.behaviour.locks.held == {}


def test_lock_refuses_whoever_would_wait_for_itself():
    """Ours: Elixir waits for ever."""
    with running():
        with pytest.raises(RuntimeError, match="already"):
            registry.lock("reg", "k", lambda: registry.lock("reg", "k", lambda: 1))
        assert registry.lock("reg", "k", lambda: 2) == 2
        with pytest.raises(TypeError):
            registry.lock("reg", [], lambda: 1)
    with pytest.raises(UnknownRegistry):
        registry.lock("reg", "k", lambda: 1)


def test_whoever_waits_for_a_lock_hears_of_the_registrys_end():
    """Ours: a call fails with its server."""

    def wait(test):
        try:
            registry.lock("reg", "k", lambda: None)
        except CallError as error:
            send(test, error.reason)

    with running() as owner:
        holder = kernel.spawn(_locked, self_(), "k", "first")
        assert receive(1) == ("in", "first")
        kernel.spawn(wait, self_())
        settle()
        kernel.exit(owner, KILL)
        assert kernel.receive_match(lambda m: m == "killed", 1) == "killed"
        send(holder, "done")
        assert kernel.receive_match(lambda m: m == ("out", "first", "done"), 1)
