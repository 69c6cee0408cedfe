"""Behaviours: processes of known shape, and the trees that keep them alive. The public names, re-exported; no logic."""

from . import proc_lib, reports, sys
from .gen_server import GenServer, enter_loop
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
from .proc_lib import stop

__all__ = [
    "AlreadyStarted", "BadReturnValue", "Fail", "GenServer", "Ignore", "NoReply", "Reply", "StartError", "Stop",
    "Undefined", "enter_loop", "proc_lib", "reports", "stop", "sys",
]  # fmt: skip
