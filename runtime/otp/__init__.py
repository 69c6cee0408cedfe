"""Behaviours: processes of known shape, and the trees that keep them alive. The public names, re-exported; no logic."""

from . import (
    application,
    event_manager,
    partition_supervisor,
    pg,
    proc_lib,
    registry,
    reports,
    state_machine,
    sys,
    task,
    task_supervisor,
)
from .application import Application
from .child_spec import BRUTAL_KILL, INFINITY, BadChildSpec, BadFlags, ChildSpec, SupFlags
from .dynamic_supervisor import DynamicSupervisor
from .event_manager import EventExit, EventHandler, EventManager, HandlerError
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
from .state_machine import GenStateMachine
from .partition_supervisor import PartitionSupervisor, PartitionVia
from .registry import Registry, Via
from .supervisor import (
    RESTARTING,
    ChildInfo,
    Counts,
    Supervisor,
    check_childspecs,
    count_children,
    delete_child,
    get_childspec,
    restart_child,
    start_child,
    terminate_child,
    which_children,
)
from .supervisor_errors import (
    AlreadyPresent,
    MaxChildren,
    NotFound,
    NotSupported,
    Restarting,
    Running,
    StartChildError,
    SupervisorError,
)
from .task_supervisor import TaskSupervisor
from .typed import TypedServer, handles_call, handles_cast

__all__ = [
    "BRUTAL_KILL", "INFINITY", "RESTARTING", "AlreadyPresent", "AlreadyStarted", "Answer", "Application", "BadChildSpec", "BadFlags",
    "BadReturnValue", "CallError", "ChildInfo", "ChildSpec", "Counts", "Deadline", "DynamicSupervisor", "EventExit", "EventHandler", "EventManager", "Fail",
    "GenServer", "HandlerError", "GenStateMachine", "Ignore", "MaxChildren", "NoReply", "NotFound", "NotSupported", "PartitionSupervisor", "PartitionVia", "Registry", "Reply", "RequestIds", "Restarting",
    "Running", "StartChildError", "StartError", "Stop", "SupFlags", "Supervisor", "SupervisorError", "TaskSupervisor", "TypedServer", "Undefined", "Via",
    "abcast", "application", "call", "cast", "check_childspecs", "check_response", "count_children", "delete_child", "enter_loop", "event_manager",
    "get_childspec", "handles_call", "handles_cast", "multi_call", "partition_supervisor", "pg", "proc_lib", "receive_response", "registry", "reply", "reports", "restart_child", "send_request",
    "start_child", "state_machine", "stop", "sys", "task", "task_supervisor", "terminate_child", "wait_response", "which_children",
]  # fmt: skip
