"""What an operator is told when a node cannot start or must end: one sentence with what, why and what to do.

The reason of a failed start is nested: application, supervisor, child, exception. `explain` looks for what the
operator can do something about; only what it does not know is shown as it is, with its trace.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from typing import Any

from runtime.certificates import CertificateError
from runtime.code.keys import KeyProblem
from runtime.config import ConfigErrors
from runtime.kernel import Crash, Shutdown, is_failure
from runtime.node_identity import DirectoryError
from runtime.observe.failures import last_words
from runtime.otp.application import NotLoaded, NotStarted
from runtime.store.contract import ShardCountMismatch, StoreError, StoreLocked

__all__ = ["explain", "sentence"]

_DEPTH = 40


def sentence(reason: Any) -> str:
    """Return the sentence for what an operator can do something about, however deep it lies; else an empty text."""
    return next(filter(None, map(_sentence, _causes(reason, _DEPTH))), "")


def explain(reason: Any, *, is_edited: bool = False) -> str:
    """Return what to tell an operator about an exception or exit reason. `is_edited`: he may have made the fault himself."""
    text = sentence(reason)
    if text:
        return text
    found = list(_causes(reason, _DEPTH))
    for cause in found:
        if isinstance(cause, Crash):
            whose = "" if is_edited else " (a fault of the software, please report it)"
            return f"unexpected error{whose}:\n{cause.trace}"
    # Of a supervisor that gave up, the reason is only `shutdown`: it is said by the child that failed once too often.
    return (last_words() if not is_failure(reason) else "") or f"unexpected reason: {reason!r}"


def _sentence(cause: Any) -> str:
    kind = type(cause)
    if kind.__module__.startswith("runtime.net."):  # which a node without listeners never loads
        if kind.__name__ == "ListenError":
            return f"{cause}, in the configuration or with --set"
        if kind.__name__ in ("ProtocolNotFound", "CertificateError"):
            return str(cause)
    if isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE:
        return (
            f"{_address(cause)} is taken by another program: stop that one, or choose another port (0: any free one) in "
            "the configuration or with --set"
        )
    if isinstance(cause, OSError) and cause.errno in (errno.EACCES, errno.EADDRNOTAVAIL):
        return f"cannot listen or write where it is configured: {cause}"
    if isinstance(cause, ShardCountMismatch):
        return f"{cause}: the number is fixed when it is made; set cluster.shards = {cause.found}"
    if isinstance(cause, StoreLocked):
        return f"{cause}: stop that one first"
    if isinstance(cause, StoreError):
        return str(cause)
    if isinstance(cause, ConfigErrors):
        return "its configuration is wrong: " + "; ".join(error.message for error in cause.errors)
    if isinstance(cause, NotStarted | NotLoaded):
        return f"it needs application {cause.name}, which {cause.words}"
    if isinstance(cause, CertificateError | DirectoryError | KeyProblem):
        return str(cause)
    return ""


def _address(error: OSError) -> str:
    # The one who listens put the address into the text, if it could: "[Errno 98] Address already in use: 127.0.0.1:7222".
    text = " ".join(str(part) for part in (*error.args, error.filename, error) if part)
    match = re.search(r"(?:\('?([\w.:]+)'?, |([\w.\[\]:]+):)(\d{2,5})\b", text)
    if match is None:
        return "a port that the node is to listen on"
    host = match[1] or match[2]
    return f"port {match[3]} on {host}"


def _causes(reason: Any, depth: int) -> Iterator[Any]:
    """What a nested reason is made of, outermost first."""
    if depth <= 0 or reason is None or isinstance(reason, str | int | float | bytes):
        return
    yield reason
    inner: list[Any] = []
    if isinstance(reason, Crash):
        inner = [reason.exception]
    elif isinstance(reason, Shutdown):
        inner = [reason.term]
    elif isinstance(reason, BaseException):
        inner = [getattr(reason, "reason", None), reason.__cause__, reason.__context__]
    elif isinstance(reason, tuple):
        inner = list(reason)
    for one in inner:
        yield from _causes(one, depth - 1)
