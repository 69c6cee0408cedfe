"""A registry against a plain list of entries: random registering, leaving, updating and dying."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import kernel
from runtime.kernel import KILL
from runtime.otp import proc_lib, registry
from runtime.otp.registry import AlreadyRegistered, Entry, Registry, Unregistered, Registered

PIDS = st.integers(0, 4)
KEYS = st.one_of(st.integers(0, 12), st.sampled_from(["a", "b", ("c", 1)]))
VALUES = st.integers(0, 3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("register"), PIDS, KEYS, VALUES),
        st.tuples(st.just("unregister"), PIDS, KEYS),
        st.tuples(st.just("unregister_match"), PIDS, KEYS, VALUES),
        st.tuples(st.just("update"), PIDS, KEYS, VALUES),
        st.tuples(st.just("die"), PIDS),
        st.tuples(st.just("put"), PIDS, KEYS, VALUES),
    ),
    max_size=60,
)


class Actor:
    """Does what it is told, in its own process, and keeps what came of it."""

    def __init__(self):
        self.result = None

    def on_message(self, process, message):
        function, args = message
        try:
            self.result = function("reg", *args)
        except AlreadyRegistered as error:
            self.result = error.pid


class Model:
    """Entries as a list of (key, pid, value), oldest first, and the listener's messages."""

    def __init__(self, unique):
        self.unique = unique
        self.rows = []
        self.told = []

    def register(self, pid, key, value):
        if self.unique:
            for k, p, _ in self.rows:
                if k == key:
                    return p
        self.rows.append((key, pid, value))
        self.told.append(Registered("reg", key, pid, value))
        return None

    def drop(self, which, pid):
        gone = [row for row in self.rows if which(row)]
        kept = [row for row in self.rows if not which(row)]
        for key in dict.fromkeys(row[0] for row in gone):
            if not any(k == key and p is pid for k, p, _ in kept):
                self.told.append(Unregistered("reg", key, pid))
        self.rows = kept


def compare(model, pids):
    table = registry._tables["reg"]
    table._check()
    assert registry.count("reg") == len(model.rows)
    assert sorted(map(repr, registry.select("reg"))) == sorted(repr(registry.Row(*row)) for row in model.rows)
    for key in {row[0] for row in model.rows} | {0, "a"}:
        want = [Entry(pid, value) for k, pid, value in model.rows if k == key]
        got = registry.lookup("reg", key)
        assert sorted(map(repr, got)) == sorted(map(repr, want))
        for pid in pids:  # of one process: in the order in which they came
            assert [e.value for e in got if e.pid is pid] == [e.value for e in want if e.pid is pid]
            assert registry.values("reg", key, pid) == [e.value for e in want if e.pid is pid]
    for pid in pids:
        assert sorted(map(repr, registry.keys("reg", pid))) == sorted(
            repr(k) for k, p, _ in model.rows if p is pid
        )
        assert (pid in table.holdings) == any(p is pid for _, p, _ in model.rows)
        assert len(pid.monitored_by or ()) == (pid in table.holdings)


@pytest.mark.plain
@pytest.mark.parametrize(
    ("kind", "partitions"), [("unique", 1), ("unique", 3), ("duplicate", 1), ("duplicate", 3)]
)
@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_a_registry_is_a_list_of_entries(kind, partitions, steps):
    """Registry: whatever happens, it holds what was registered by the living and not taken back."""
    kernel.run(play, kind, partitions, steps)


def play(kind, partitions, steps):
    heard = []

    class Listener:
        def on_message(self, process, message):
            heard.append(message)

    listener = kernel.spawn_callback(Listener())
    reg = Registry.start_link(kind, name="reg", partitions=partitions, listeners=[listener])
    model = Model(kind == "unique")
    actors = [Actor() for _ in range(5)]
    pids = [kernel.spawn_callback(actor) for actor in actors]
    try:
        for step, n, *args in steps:
            pid = pids[n]
            expected = None
            if step == "die":
                kernel.exit(pid, KILL)
                model.drop(lambda row, pid=pid: row[1] is pid, pid)
                actors[n] = Actor()
                pids[n] = kernel.spawn_callback(actors[n])
                compare(model, [*pids, pid])
                continue
            if step == "put":  # by another process
                try:
                    got = registry.register("reg", *args, pid=pid)
                except AlreadyRegistered as error:
                    got = error.pid
                assert got is model.register(pid, *args)
                continue
            key = args[0]
            if step == "register":
                expected = model.register(pid, *args)
                function, arguments = registry.register, args
            elif step == "unregister":
                model.drop(lambda row, pid=pid, key=key: row[1] is pid and row[0] == key, pid)
                function, arguments = registry.unregister, args
            elif step == "unregister_match":
                model.drop(
                    lambda row, pid=pid, key=key: row[1] is pid and row[0] == key and row[2] == args[1], pid
                )
                function, arguments = registry.unregister_match, args
            elif kind == "unique":
                for i, (k, p, old) in enumerate(model.rows):
                    if k == key and p is pid:
                        model.rows[i] = (k, p, args[1])
                        expected = (args[1], old)
                function, arguments = registry.update_value, (key, lambda _, new=args[1]: new)
            else:
                continue
            kernel.send(pid, (function, arguments))
            kernel.yield_()
            assert actors[n].result == expected
            compare(model, pids)
        kernel.yield_()
        assert sorted(map(repr, heard)) == sorted(map(repr, model.told))
    finally:
        for pid in (*pids, listener):
            kernel.exit(pid, KILL)
        kernel.unlink(reg)
        proc_lib.stop(reg)
    assert registry._tables == {}
