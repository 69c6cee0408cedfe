"""Behaviours: processes of known shape, and the trees that keep them alive. The public names, re-exported; no logic."""

from . import proc_lib, reports, sys
from .gen_server import (
    Answer,
    CallError,
    Deadline,
    GenServer,
    RequestIds,
    abcast,
    call,
    cast,
    check_response,
    enter_loop,
    multi_call,
    receive_response,
    reply,
    send_request,
    stop,
    wait_response,
)
from .outcome import (
    AlreadyStarted,
    BadReturnValue,
    Fail,
    Ignore,
    NoReply,
    Reply,
    StartError,
    Stop,
    Undefined,
)

__all__ = [
    "AlreadyStarted", "Answer", "BadReturnValue", "CallError", "Deadline", "Fail", "GenServer", "Ignore", "NoReply",
    "Reply", "RequestIds", "StartError", "Stop", "Undefined", "abcast", "call", "cast", "check_response", "enter_loop",
    "multi_call", "proc_lib", "receive_response", "reply", "reports", "send_request", "stop", "sys", "wait_response",
]  # fmt: skip
