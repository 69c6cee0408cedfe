"""Elixir's PartitionSupervisor, restated: by the names of its own tests."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from runtime import kernel
from runtime.kernel import KILL, CallError, Exit, call, cast, is_alive, receive, send
from runtime.otp import (
    AlreadyStarted,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    StartError,
    Supervisor,
    SupFlags,
    dynamic_supervisor,
)
from runtime.otp import partition_supervisor as parts
from runtime.otp import proc_lib
from runtime.otp.partition_supervisor import PartitionSupervisor, PartitionVia
from runtime.otp.registry import Registry, Via
from runtime.testing import settle


class Keeper(GenServer):
    """Answers with the arguments that it was started with."""

    def init(self, *args):
        self.args = args
        self.seen = []

    def handle_call(self, request, sender):
        return list(self.seen) if request == "seen" else self.args

    def handle_cast(self, request):
        self.seen.append(request)

    handle_info = handle_cast


@contextmanager
def running(child=Keeper, name="parts", **options):
    kernel.trap_exit(True)
    pid = PartitionSupervisor.start_link(child, name=name, **options)
    try:
        yield pid
    finally:
        if is_alive(pid):
            parts.stop(name)
        assert receive(0) == Exit(pid, pid.reason)
        assert parts._tables == {}


def test_on_success():
    """PartitionSupervisor "start_link/1 on success": each request goes to the partition of its key."""
    with running(DynamicSupervisor):
        assert parts.partitions("parts") == parts.DEFAULT_PARTITIONS
        for n in range(100):
            key = f"key {n}"
            dynamic_supervisor.start_child(
                PartitionVia("parts", key), ChildSpec(None, (Keeper.start_link, (key,)))
            )
        seen = []
        for child in parts.which_children("parts"):
            for grandchild in dynamic_supervisor.which_children(child.pid):
                (key,) = call(grandchild.pid, "args")
                assert parts.partition_of("parts", key) == child.id
                seen.append(key)
        assert sorted(seen) == sorted(f"key {n}" for n in range(100))
        assert len({parts.partition_of("parts", key) for key in seen}) > 1


def test_with_arguments():
    """PartitionSupervisor "with_arguments": each partition has its own; integers go by their remainder."""
    spec = ChildSpec("any", (Keeper.start_link, ("given",)))
    with running(spec, with_arguments=lambda args, n: (*args, n), partitions=3):
        assert parts.partitions("parts") == 3
        for key, partition in ((0, 0), (1, 1), (2, 2), (3, 0), (-1, 1), (10**20 + 2, (10**20 + 2) % 3)):
            assert call(PartitionVia("parts", key), "args") == ("given", partition)


def test_messages_by_key():
    """PartitionSupervisor: via names take sends, casts and calls, and cannot be given to a process."""
    with running(partitions=2):
        cast(PartitionVia("parts", 0), "cast")
        send(PartitionVia("parts", 2), "info")
        assert call(PartitionVia("parts", 0), "seen") == ["cast", "info"]
        assert call(PartitionVia("parts", 1), "seen") == []
        before = kernel.process_count()
        with pytest.raises(AlreadyStarted):
            Keeper.start(name=PartitionVia("parts", 0))
        with pytest.raises((ValueError, AlreadyStarted)):
            Keeper.start(name=PartitionVia("nowhere", 0))
        assert kernel.process_count() == before
    with pytest.raises(CallError) as failed:
        call(PartitionVia("parts", 0), "args")
    assert failed.value.reason == "noproc"
    cast(PartitionVia("parts", 0), "nobody")


@pytest.mark.parametrize(
    "options",
    [{"name": None}, {"name": ""}, {"partitions": 0}, {"partitions": True}, {"partitions": 1.0}, {"with_arguments": 123},
     {"strategy": "x"}, {"intensity": -1}, {"child": 5}, {"child": {"id": 1}}],
)  # fmt: skip
def test_raises_on_bad_options(options):
    """PartitionSupervisor "raises without name", "... without child_spec", "... on bad partitions", "... with_arguments"."""
    before = kernel.process_count()
    child = options.pop("child", Keeper)
    with pytest.raises((ValueError, TypeError)):
        PartitionSupervisor.start_link(child, **{"name": "parts", **options})
    assert kernel.process_count() == before


def test_with_a_via_name():
    """PartitionSupervisor "start_link/1 with a via name"."""
    reg = Registry.start_link(name="reg")
    name = Via("reg", "parts")
    with running(name=name, partitions=2) as pid:
        assert name.whereis() is pid
        assert parts.partitions(name) == 2
        assert call(PartitionVia(name, 1), "args") == ()
        assert len(parts.which_children(name)) == 2
    kernel.unlink(reg)
    proc_lib.stop(reg)


def test_stop_is_synchronous():
    """PartitionSupervisor "stop/1 is synchronous"."""
    with running() as pid:
        children = [child.pid for child in parts.which_children("parts")]
        parts.stop("parts")
        assert not is_alive(pid)
        assert kernel.whereis("parts") is None
        assert not any(map(is_alive, children))
        with pytest.raises(CallError):
            parts.partitions("parts")


def test_which_and_count_children():
    """PartitionSupervisor "which_children/1 returns all partitions", "count_children/1 with workers", "... supervisors"."""
    with running(partitions=4):
        children = parts.which_children("parts")
        assert [child.id for child in children] == [0, 1, 2, 3]
        assert [child.pid for child in children] == [PartitionVia("parts", n).whereis() for n in range(4)]
        assert {(child.type, child.modules) for child in children} == {("worker", (__name__,))}
        assert parts.count_children("parts") == (4, 4, 0, 4)
    with running(DynamicSupervisor, partitions=4):
        assert parts.count_children("parts") == (4, 4, 4, 0)


def test_a_restarted_partition_is_found():
    """PartitionSupervisor: after a crash, requests go to the new process; meanwhile they fail as to any dead one."""
    with running(partitions=2):
        via = PartitionVia("parts", 1)
        old, other = via.whereis(), PartitionVia("parts", 0).whereis()
        kernel.exit(old, KILL)
        send(via, "dropped")
        with pytest.raises(CallError) as failed:
            call(via, "args")
        assert failed.value.reason == "noproc"
        settle()
        assert is_alive(via.whereis())
        assert via.whereis() is not old
        assert PartitionVia("parts", 0).whereis() is other
        assert call(via, "seen") == []


def test_a_partition_that_does_not_start():
    """PartitionSupervisor: then nothing is left; the reason says which."""

    def start(n):
        if n == 2:
            raise StartError("no")
        return Keeper.start_link()

    kernel.trap_exit(True)
    before = kernel.process_count()
    spec = ChildSpec(None, (start, ()))
    with pytest.raises(StartError) as failed:
        PartitionSupervisor.start_link(spec, name="parts", partitions=4, with_arguments=lambda _, n: (n,))
    assert failed.value.reason.term[:2] == ("failed_to_start_child", 2)
    assert kernel.process_count() == before
    assert parts._tables == {}
    assert kernel.whereis("parts") is None


def test_in_a_tree():
    """PartitionSupervisor: killed and started again by its supervisor; the table follows."""
    kernel.trap_exit(True)
    spec = ChildSpec(
        "parts",
        (PartitionSupervisor.start_link, (Keeper,), {"name": "parts", "partitions": 2}),
        type="supervisor",
    )
    sup = Supervisor.start_link_with(SupFlags(), [spec])
    first, child = kernel.whereis("parts"), PartitionVia("parts", 0).whereis()
    kernel.exit(first, KILL)
    settle()
    assert kernel.whereis("parts") is not first
    assert is_alive(PartitionVia("parts", 0).whereis())
    assert not is_alive(child)
    proc_lib.stop(sup)
    assert parts._tables == {}
