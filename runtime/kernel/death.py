"""Death, links, monitors and exit signals.

Death is a state change, decided here before any stack unwinds: the name is free, links and monitors are told, calls
fail, the mailbox is dropped. Only then is the stack, if there is one, thrown into. (gevent's kill is an exception
that the victim may swallow; links must not wait for its `finally`.) An idle process dies without running any code.

Propagation over links is iterative: a chain of 20,000 links costs no recursion.

Invariant: b in a.links  <=>  a in b.links.
Invariant: ref in w.monitors  <=>  ref in target.monitored_by  (or the target is another node's).
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from greenlet import getcurrent

from . import hooks, scheduler
from .identity import Pid, Ref, make_ref
from .reasons import NOPROC, NORMAL
from .scheduler import DEADQ, IO, Killed, Process, Worker, deliver, living, resolve, run_callback, self_, send
from .signals import Action, Origin, decide

__all__ = [
    "Down", "Exit", "Watcher", "demonitor", "disconnect", "exit", "is_alive", "link", "monitor", "trap_exit", "unlink", "unwatch",
    "watch",
]  # fmt: skip

# --------------------------------------------------------------------------------------------------------- types


class Exit(NamedTuple):
    """What a process that traps exits gets for an exit signal: Erlang's {'EXIT', From, Reason}."""

    sender: Any
    reason: Any


class Down(NamedTuple):
    """What a monitor gives once: Erlang's {'DOWN', Ref, process, Pid, Reason}. `pid` is the name, if monitored by it."""

    ref: Ref
    pid: Any
    reason: Any


class Watcher(Protocol):
    """Who is told of a death without being a process. Compared by identity."""

    def failed(self, reason: Any, /) -> None:
        """The process has ended. Called where that is decided, perhaps in the hub: must not block nor raise."""


Links = tuple[Process, ...] | set[Process] | None
FEW = 4
"""Links kept in a tuple; more make a set."""

# ----------------------------------------------------------------------------------------------------------- API


def exit(dest: Any, reason: Any = NORMAL) -> None:
    """Send an exit signal: erlang:exit/2. What it does is `signals.decide`'s table.

    Never blocks. To a dead pid: nothing. Ends the caller (raises) when the caller sends it to itself and dies of it.
    To end oneself unconditionally, raise ProcessExit(reason).
    """
    p = resolve(dest)
    if p.q is DEADQ:
        return
    me: Any = getattr(getcurrent(), "proc", None)
    origin = Origin.SELF if me is p else Origin.EXIT
    action, reason = decide(origin, reason, p.trap)
    if action is Action.MESSAGE:
        send(p, Exit(me, reason))
    elif action is Action.DIE:
        dead = me is None or me.q is DEADQ
        die(p, reason)
        if not dead and me.q is DEADQ:  # sent to itself, or it came back over a link
            raise Killed(me.reason)


def trap_exit(flag: bool) -> bool:
    """Turn exit signals into `Exit` messages for the calling process, or stop doing so; return the old setting."""
    p = self_()
    old, p.trap = p.trap, bool(flag)
    return old


def link(pid: Process) -> None:
    """Link the calling process with `pid`, both ways; twice is once.

    A dead `pid`: `Exit(pid, noproc)` to a caller that traps exits; any other caller ends with noproc
    (OTP raises an error noproc there; the exit reason is the same).
    """
    me = living()
    if pid is me:
        return
    if not isinstance(pid, Pid):
        raise TypeError(f"link wants a pid, not {pid!r:.200}: whereis(name) finds the pid of a name")
    if pid.q is DEADQ:
        if me.trap:
            send(me, Exit(pid, NOPROC))
            return
        raise scheduler.ProcessExit(NOPROC)
    connect(me, pid)


def unlink(pid: Process) -> None:
    """Undo the link with `pid`, if there is one. An Exit that is already in the mailbox stays there."""
    disconnect(self_(), pid)


def monitor(dest: Any) -> Ref:
    """Watch `dest` (pid, name or alias): one Down comes when it ends, or at once (noproc) if it is not there. Monitors stack."""
    me = living()
    ref = make_ref()
    label = dest
    target = scheduler.names.get(dest) if isinstance(dest, str) else dest
    if target is dest and not hasattr(dest, "q"):
        raise scheduler.BadName(dest)
    if target is not None and target.q is target:
        target = target.take()
    if target is None or target.q is DEADQ:
        send(me, Down(ref, label, NOPROC))
        return ref
    if target.monitored_by is None:
        target.monitored_by = {}
    target.monitored_by[ref] = (me, label)
    if me.monitors is None:
        me.monitors = {}
    me.monitors[ref] = target
    return ref


def demonitor(ref: Ref, flush: bool = False, info: bool = False) -> bool:
    """Stop watching. With `flush`, also remove a Down that is already in the mailbox.

    Returns True; with `info`, True only if the monitor was still there (so no Down has been sent). With `flush` and
    `info`, False says that a Down was sent (and is now gone). An unknown ref is no error. Source: erlang:demonitor/2.
    """
    me = self_()
    target = me.monitors.pop(ref, None) if me.monitors else None
    found = target is not None
    if target is not None and target.monitored_by:
        target.monitored_by.pop(ref, None)
    if flush and not found:
        _remove_message(me, lambda m: m.__class__ is Down and m.ref is ref)
    return found if info else True


def watch(pid: Process, watcher: Watcher) -> None:
    """Have `watcher.failed(reason)` called the moment `pid` ends: after its name is free, before any Down is read.

    Raises ValueError if it is dead already. Twice is once.
    """
    if pid.q is DEADQ:
        raise ValueError(f"{pid!r} is dead")
    if pid.monitored_by is None:
        pid.monitored_by = {}
    pid.monitored_by[watcher] = None


def unwatch(pid: Process, watcher: Watcher) -> None:
    """Undo `watch`. Again, or after the death: nothing."""
    watchers = pid.monitored_by
    if watchers:
        watchers.pop(watcher, None)
        if not watchers:
            pid.monitored_by = None  # an empty dict is 64 bytes


def is_alive(pid: Pid) -> bool:
    """Tell whether the process lives. O(1)."""
    return getattr(pid, "q", DEADQ) is not DEADQ


# ----------------------------------------------------------------------------------------------------- internals


def connect(a: Process, b: Process) -> None:
    """Link two living processes."""
    a.links = _with(a.links, b)
    b.links = _with(b.links, a)


def disconnect(a: Process, b: Process) -> None:
    """Unlink two processes, whichever is running; none of them hears of it. Not linked: nothing."""
    if a.links:
        a.links = _without(a.links, b)
    if b.links:
        b.links = _without(b.links, a)


def _with(links: Links, p: Process) -> Links:
    """Add a link. Most processes have one, to their supervisor: a tuple of one is 48 bytes, a set 216."""
    if links is None:
        return (p,)
    if isinstance(links, tuple):
        if p in links:
            return links
        if len(links) < FEW:
            return (*links, p)
        links = set(links)
    links.add(p)
    return links


def _without(links: Links, p: Process) -> Links:
    if isinstance(links, tuple):
        if len(links) == 1:
            return None if links[0] is p else links
        return tuple(q for q in links if q is not p)
    if links is not None:
        links.discard(p)
    return links


def die(p: Process, reason: Any) -> None:
    """End `p` with `reason`, and all that must end with it through links."""
    work: list[tuple[Process, Any]] | None = None
    while True:
        if p.q is not DEADQ:
            _bury(p, reason)
            links = p.links
            if links:
                p.links = None
                for peer in links:
                    if peer.links:
                        peer.links = _without(peer.links, p)
                    action, carried = decide(Origin.LINK, reason, peer.trap)
                    if action is Action.MESSAGE:
                        deliver(peer, Exit(p, carried))
                    elif action is Action.DIE:
                        if work is None:
                            work = []
                        work.append((peer, carried))
            _tell_monitors(p, reason)
        if not work:
            return
        p, reason = work.pop()


def _bury(p: Process, reason: Any) -> None:
    """Make `p` dead in every table, then throw into its stack if it has one."""
    if p.name is not None and scheduler.names.get(p.name) is p:
        del scheduler.names[p.name]  # free before anybody hears of the death (OTP monitor_SUITE named_down)
    del scheduler.table[p.number]
    behaviour: Any = p.behaviour
    control = p.control
    wait = p.wait
    p.q = DEADQ
    if p.cur:
        p.cur.clear()  # a batch that is being handled ends with the message it is at
    p.cur = p.pdict = p.behaviour = p.control = None
    p.reason = reason
    g = p.g
    if g is not None:
        if wait is IO:
            if g is not getcurrent():
                run_callback(_throw_out, g, p, Killed(reason))
        else:
            p.exc = Killed(reason)
            scheduler.resume(p)
    if p.monitors:
        for ref, target in p.monitors.items():
            if target.monitored_by:
                target.monitored_by.pop(ref, None)
            if ref.__class__ is not Ref:  # an open request: nobody is there to take its answer
                ref.process = None  # type: ignore[attr-defined]
        p.monitors = None
    if control is not None:
        hooks.call([control.on_exit], p, reason)
    if hasattr(type(behaviour), "on_exit"):
        hooks.call(
            [behaviour.on_exit], p, reason
        )  # what the process owned in the kernel's world (a socket) goes with it


def _tell_monitors(p: Process, reason: Any) -> None:
    watchers = p.monitored_by
    if not watchers:
        return
    p.monitored_by = None
    for ref, watcher in watchers.items():
        if watcher is None:
            ref.failed(reason)  # an open call: it is its own monitor
        else:
            process, label = watcher
            if process.monitors:
                process.monitors.pop(ref, None)
            deliver(process, Down(ref, label, reason))


def _throw_out(g: Worker, p: Process, killed: Killed) -> None:
    """In the hub: unwind a stack that waits in gevent's I/O, if it still does."""
    if g.proc is p and p.g is g and p.wait is IO:
        g.throw(killed)


def _remove_message(p: Process, match: Any) -> bool:
    """Take the one matching message out of a mailbox, wherever it lies. Newest first: it mostly came just now."""
    for box in (p.q, p.cur):
        if box:
            for place, message in enumerate(reversed(box), 1):
                if match(message):
                    del box[-place]
                    if not box and box is p.q:
                        p.q = None
                    return True
    return False


scheduler.die = die
