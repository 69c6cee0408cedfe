"""A class says how to start it as a child; what is no child spec, and what starts wrongly, is said in words."""

from __future__ import annotations

import pytest

from runtime import kernel
from runtime.kernel import call, cast, receive, spawn, whereis
from runtime.otp import (
    AlreadyStarted,
    BadChildSpec,
    BadReturnValue,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    GenStateMachine,
    Ignore,
    PartitionSupervisor,
    PartitionVia,
    Registry,
    StartError,
    Stop,
    Supervisor,
    SupFlags,
    start_child,
    stop,
    which_children,
)
from runtime.otp.child_spec import class_spec, to_spec
from runtime.otp.state_machine import NextState


class Counter(GenServer):
    def init(self, n=0, step=1):
        self.n, self.step = n, step

    def handle_call(self, request, sender):
        self.n += self.step
        return self.n


class Door(GenStateMachine):
    def init(self):
        return NextState("locked")

    def locked(self, kind, content):
        return None


class Temporary(Counter):
    @classmethod
    def child_spec(cls, *args, **options):
        return super().child_spec(*args, **{"restart": "temporary", **options})


class Tree(Supervisor):
    def init(self, *children):
        return SupFlags(), list(children)


def ids(sup):
    return [child.id for child in reversed(which_children(sup))]


# ------------------------------------------------------------------------------------------------ child_spec


def test_child_spec_of_a_class():
    """Elixir GenServer child_spec/1: id, start and defaults; each can be overridden."""
    assert Counter.child_spec(5) == ChildSpec("Counter", (Counter.start_link, (5,)))
    assert Counter.child_spec(5, name="c", step=2) == ChildSpec(
        "c", (Counter.start_link, (5,), {"name": "c", "step": 2})
    )
    assert Counter.child_spec(5, id=7, restart="transient", shutdown=1.0, significant=True) == ChildSpec(
        7, (Counter.start_link, (5,)), "transient", 1.0, significant=True
    )
    assert Temporary.child_spec(1).restart == "temporary"
    assert Temporary.child_spec(1, restart="permanent").restart == "permanent"


def test_child_spec_of_a_supervisor_is_one_of_a_supervisor():
    """Elixir Supervisor child_spec/1: type supervisor, shutdown infinity."""
    spec = Tree.child_spec(name="tree")
    assert (spec.id, spec.type, spec.shutdown) == ("tree", "supervisor", float("inf"))
    dynamic = DynamicSupervisor.child_spec(name="users", intensity=9)
    assert to_spec((DynamicSupervisor, (), {"name": "users", "intensity": 9})) == dynamic
    assert (dynamic.id, dynamic.type, dynamic.shutdown) == ("users", "supervisor", float("inf"))


@pytest.mark.parametrize(
    ("given", "spec"),
    [
        (Counter, ChildSpec("Counter", (Counter.start_link, ()))),
        ((Counter,), None),
        ((Counter, (3,)), ChildSpec("Counter", (Counter.start_link, (3,)))),
        ((Counter, [3], {"name": "c"}), ChildSpec("c", (Counter.start_link, (3,), {"name": "c"}))),
        ((Counter, 3), None),
        ((Counter, (3,), "c"), None),
        ((Counter.start_link, (3,)), None),
        (Door, ChildSpec("Door", (Door.start_link, ()))),
        ((Registry, ("unique",), {"name": "r"}), Registry.child_spec("unique", name="r")),
        (Temporary, ChildSpec("Temporary", (Temporary.start_link, ()), "temporary")),
        (int, None),
        (7, None),
    ],
)
def test_a_class_with_its_arguments_is_a_child_spec(given, spec):
    if spec is None:
        with pytest.raises(BadChildSpec):
            to_spec(given)
    else:
        assert to_spec(given) == spec


def test_a_spec_is_told_how_it_could_be():
    with pytest.raises(BadChildSpec, match=r"\(class, args\) or \(class, args, kwargs\)"):
        to_spec(7)
    with pytest.raises(BadChildSpec, match="a function that starts it: Counter.start_link"):
        ChildSpec("c", (Counter, ()))
    with pytest.raises(BadChildSpec, match="restar = 'temporary'; allowed: one of id, start, restart"):
        class_spec(Counter, restar="temporary")
    with pytest.raises(BadChildSpec, match="each id once"):
        Supervisor.start_link_with(SupFlags(), [Counter, Counter])


def test_a_child_spec_method_that_fails_ends_no_supervisor():
    class Picky(Counter):
        @classmethod
        def child_spec(cls):
            raise KeyError("no such setting")

    users = DynamicSupervisor.start_link()
    with pytest.raises(BadChildSpec, match="no such setting"):
        start_child(users, (Picky, ()))
    assert which_children(users) == []
    stop(users)


# ------------------------------------------------------------------------------------- in supervisors


def test_a_tree_of_classes():
    top = Tree.start_link(Counter, (Counter, (5,), {"name": "five"}), Door, (Tree, (Temporary,)))
    assert ids(top) == ["Counter", "five", "Door", "Tree"]
    assert call("five", "next") == 6
    assert which_children(top)[0].type == "supervisor"
    start_child(top, (Counter, (7,), {"name": "seven"}))
    assert call("seven", "next") == 8
    with pytest.raises(BadChildSpec, match="id = <missing>; allowed: required"):
        start_child(top, {"start": (Counter.start_link, ())})
    with pytest.raises(BadChildSpec):
        start_child(top, [0])
    stop(top)


def test_a_dynamic_supervisor_needs_no_ids():
    users = DynamicSupervisor.start_link()
    for given in (
        Counter,
        (Counter, (0,)),
        {"start": (Counter.start_link, (0,))},
        Counter.child_spec(0, restart="temporary"),
        ChildSpec(None, (Counter.start_link, (0,))),
    ):
        assert call(start_child(users, given), "next") == 1
    assert len(which_children(users)) == 5
    stop(users)


def test_a_tuple_is_arguments_under_simple_one_for_one():
    """OTP supervisor:start_child/2: the last arguments, whatever they are."""
    got = []

    def start(*args):
        got.append(args)
        return Counter.start_link()

    users = Supervisor.start_link_with(SupFlags("simple_one_for_one"), [ChildSpec("user", (start, (1,)))])
    start_child(users, (Counter, (0,)))
    assert got == [(1, Counter, (0,))]
    stop(users)


def test_partitions_of_a_class():
    parts = PartitionSupervisor.start_link((Counter, (5,)), name="parts", partitions=2)
    assert call(PartitionVia("parts", 1), "next") == 6
    assert [child.id for child in reversed(which_children(parts))] == [0, 1]
    stop(parts)


# ------------------------------------------------------------------------------------- what starts wrongly


def test_a_supervisor_whose_init_forgets_the_flags_or_the_return():
    kernel.trap_exit(True)

    class OnlyList(Supervisor):
        def init(self):
            return [Counter]

    class Nothing(Supervisor):
        def init(self):
            pass

    for wrong in (OnlyList, Nothing):
        with pytest.raises(StartError) as caught:
            wrong.start_link()
        assert caught.value.reason.__class__ is BadReturnValue
        assert f"{wrong.__qualname__}.init may return (SupFlags(...), [children]) or Ignore()" in str(
            caught.value
        )

    class Refuses(Supervisor):
        def init(self):
            return Ignore()

    assert Refuses.start_link() is None


def test_a_supervisor_without_init_says_so():
    kernel.trap_exit(True)

    class Typo(Supervisor):
        def initt(self):
            return SupFlags(), []

    with pytest.raises(StartError, match="Supervisor itself starts nothing: .* start_link_with"):
        Supervisor.start_link([Counter])
    with pytest.raises(StartError, match="Typo defines no init: it defines initt"):
        Typo.start_link()


def test_a_child_that_is_not_linked_is_worth_a_warning(caplog):
    """OTP takes such a child; whoever forgot the link should hear of it."""
    sup = Supervisor.start_link_with(SupFlags(), [ChildSpec("c", (spawn, (receive,)))])
    (warning,) = [r for r in caplog.records if r.name == "evergreen.supervisor"]
    pid = which_children(sup)[0].pid
    assert warning.levelname == "WARNING"
    assert f"its child {pid!r} is not linked to it" in warning.getMessage()
    stop(sup)
    assert not kernel.is_alive(pid)


def test_a_name_that_is_taken_says_by_whom():
    pid = Counter.start(name="counter")
    with pytest.raises(AlreadyStarted) as caught:
        Counter.start(name="counter")
    assert str(caught.value) == "already started: <counter@nonode> has this name"
    assert (caught.value.reason, caught.value.pid) == (("already_started", pid), pid)
    stop(pid)


# ------------------------------------------------------------------------------------- callbacks


class Wrong(GenServer):
    """Returns what it is asked for."""

    def init(self, answer=None):
        return answer

    def handle_call(self, request, sender):
        return request

    def handle_cast(self, request):
        return request

    def handle_info(self, message):
        return message


@pytest.mark.parametrize(
    ("deliver", "says"),
    [
        (lambda pid: cast(pid, 5), "Wrong.handle_cast may return None, NoReply(...) or Stop(reason)"),
        (lambda pid: kernel.send(pid, 5), "Wrong.handle_info may return None, NoReply(...) or Stop(reason)"),
        (lambda pid: cast(pid, Stop), "Wrong.handle_cast may return an object: Stop(), with its parentheses"),
        (lambda pid: cast(pid, {"state": 1}), "BadReturnValue(value={'state': 1}; Wrong.handle_cast may"),
    ],
)  # fmt: skip
def test_a_bad_return_value_names_the_callback_and_what_it_may_return(deliver, says, crashes):
    pid = Wrong.start()
    ref = kernel.monitor(pid)
    deliver(pid)
    reason = receive(1).reason
    assert says in repr(reason)
    assert reason == BadReturnValue(reason.value), "the words are no part of the reason"
    assert ref


def test_an_init_that_returns_its_state_is_told_where_it_belongs():
    with pytest.raises(StartError, match="the state is what it sets on self"):
        Wrong.start({"state": 1})


def test_arguments_for_an_init_that_is_not_there():
    class NoInit(GenServer):
        def initt(self, n):
            pass

    with pytest.raises(StartError, match=r"NoInit was started with 1 argument\(s\): it defines no init"):
        NoInit.start(5)


def test_a_mistyped_callback_is_named():
    class Typo(GenServer):
        def handle_cal(self, request, sender):
            return 1

    pid = Typo.start()
    with pytest.raises(kernel.CallError, match=r"Typo defines no handle_call: it defines handle_cal\b"):
        call(pid, "x")
    assert whereis("typo") is None
