"""Processes on greenlets: the only room of the house that touches greenlets, the hub and the loop's callbacks."""

from . import clock, hooks
from .calls import (
    Call,
    CallError,
    CallTimeout,
    Cast,
    Request,
    Response,
    call,
    cast,
    check_response,
    fail,
    receive_response,
    reply,
    request,
    wait_response,
)
from .death import (
    Down,
    Exit,
    Watcher,
    demonitor,
    disconnect,
    exit,
    is_alive,
    link,
    monitor,
    trap_exit,
    unlink,
    unwatch,
    watch,
)
from .gate import Gate, at_rest, become, mailboxes, put_back
from .identity import Pid, Ref, RemotePid, make_ref, node, node_creation, set_node
from .inspect import (
    check_invariants,
    erase,
    get,
    pid_from_wire,
    process_count,
    process_info,
    process_frame,
    processes,
    put,
    set_label,
    stacks,
)
from .interrupt import guard, interrupt, unguard
from .loop import loop
from .messages import MutableMessage, check_messages
from .names import Name, NameTaken, register, registered, unregister, whereis
from .limits import Ended, TookTooLong, limited
from .reasons import (
    CALLING_SELF,
    KILL,
    KILLED,
    NOCONNECTION,
    NOPROC,
    NORMAL,
    SHUTDOWN,
    TIMEOUT_REASON,
    Crash,
    Shutdown,
    is_failure,
    same_reason,
)
from .receive import Mark, receive, receive_every, receive_mark, receive_match
from .scheduler import (
    INTERPRETER_EXITS,
    TIMEOUT,
    BadName,
    Behaviour,
    Killed,
    NotAProcess,
    Process,
    ProcessExit,
    self_,
    send,
    yield_,
)
from .spawn import (
    Alias,
    Deadlock,
    alias,
    run,
    spawn,
    spawn_callback,
    spawn_link,
    spawn_monitor,
    spawn_opt,
    unalias,
)
from .step import BLOCKED, pause, step
from .taps import tap, untap
from .terms import BadTerm, RemoteCrash, decode_term, encode_term
from .threads import blocking, busy_threads, hold_threads, in_hub, post, thread_jobs, thread_work
from .timers import Timeout, Timer, cancel_timer, read_timer, send_after, sleep, start_timer
from .watchdog import Hog, HogReport, start_watchdog, stop_watchdog
from .watermarks import kept, set_default_watermarks, set_watermarks, sweep, top_senders

__all__ = [
    "BLOCKED", "CALLING_SELF", "INTERPRETER_EXITS", "KILL", "KILLED", "NOCONNECTION", "NOPROC", "NORMAL",
    "SHUTDOWN", "TIMEOUT", "TIMEOUT_REASON", "Alias", "BadName", "BadTerm", "Behaviour", "Call", "CallError",
    "CallTimeout", "Cast", "Crash", "Deadlock", "Down", "Ended", "Exit", "Gate", "Hog", "HogReport", "Killed", "Mark",
    "MutableMessage", "Name", "NameTaken", "NotAProcess", "Pid", "Process", "ProcessExit", "Ref", "RemoteCrash",
    "RemotePid", "Request", "Response", "Shutdown", "Timeout", "Timer", "TookTooLong", "Watcher", "alias", "at_rest", "become", "mailboxes", "blocking",
    "busy_threads", "call", "cancel_timer", "cast", "check_invariants", "check_messages", "check_response", "clock",
    "decode_term", "demonitor", "disconnect", "encode_term", "erase", "exit", "fail", "get", "guard", "hooks", "hold_threads", "in_hub", "interrupt", "is_alive",
    "is_failure", "kept", "limited", "link", "loop", "make_ref", "monitor", "node", "node_creation", "pause", "pid_from_wire", "post",
    "process_count", "process_frame", "process_info", "processes", "put", "put_back", "read_timer", "receive", "receive_every", "receive_mark", "receive_match",
    "receive_response", "register", "registered", "reply", "request", "run", "same_reason", "self_", "send",
    "send_after", "set_default_watermarks", "set_label", "set_node", "set_watermarks", "sleep", "spawn",
    "spawn_callback", "spawn_link", "spawn_monitor", "spawn_opt", "stacks", "start_timer", "start_watchdog", "step",
    "stop_watchdog", "sweep", "tap", "thread_jobs", "thread_work", "top_senders", "trap_exit", "unalias", "unguard", "unlink", "unregister", "untap", "unwatch", "wait_response", "watch",
    "whereis", "yield_",
]  # fmt: skip
