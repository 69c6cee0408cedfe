"""Makes docs/native-protocol.md from the frames and the session table: `python -m apps.chat.native.reference > FILE`."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from typing import Any, Final, get_args, get_origin, get_type_hints

import msgspec

from apps.chat.native import frames
from apps.chat.native.dialogue import TABLE

__all__ = ["reference"]

_HEAD: Final = """\
# The native protocol, `{alpn}`

Made from `apps/chat/native/frames.py` by `python -m apps.chat.native.reference`; a test keeps it current. Do not edit.

TLS over TCP, ALPN `{alpn}`, port {port}. A frame is its length (4 bytes, big-endian, the length itself not counted) and
one msgpack array `[type, field, field, …]`. Strings are UTF-8 `str`, bytes are `bin`. Times of day are milliseconds since
1970 UTC, durations are seconds.

**Growth.** New fields come at the end and have a default: leave out what you do not know, ignore what you do not know.
Frame types from {optional} on are optional: skip those that you do not know. Below it, an unknown type is an error.

**Delivery.** `Accepted` means durable. What a device gets is numbered without gaps (`seq`); it stores an entry first and
acknowledges then (`Ack`, cumulative). An entry may come twice: drop every `seq` that you hold. After `Ready`, acknowledge
again if you hold more than `acked`. Send a message again, with the same `id`, until it is `Accepted` or `Refused`.

**Bad input.** An `Error` without `ref`, then `Bye`, and this connection ends.
"""


def reference() -> str:
    """The page, in Markdown."""
    parts = [_HEAD.format(alpn=frames.ALPN, port=frames.PORT, optional=frames.OPTIONAL_FROM)]
    parts.append("## When which frame is welcome\n\n| state | from the client |\n|---|---|")
    for state, row in TABLE.items():
        if row:
            parts.append(f"| {state} | {', '.join(kind.__name__ for kind in row)} |")
    parts.append("\n## Frames\n\n| type | frame | direction |\n|---|---|---|")
    kinds = sorted({*frames.CLIENT_FRAMES, *frames.SERVER_FRAMES}, key=_tag)
    parts += [
        f"| {_tag(kind)} | [{kind.__name__}](#{kind.__name__.lower()}) | {_direction(kind)} |"
        for kind in kinds
    ]
    parts.append("")
    parts += [_frame(kind) for kind in kinds]
    parts.append(_frame(frames.Limits, "A value inside `Welcome`."))
    parts.append("## Codes\n\nOf `Error`, `Refused` and `Bye`.\n\n| code | meaning |\n|---|---|")
    parts += [f"| `{code}` | {text} |" for code, text in frames.CODES.items()]
    return "\n".join(parts) + "\n"


def _frame(kind: type[msgspec.Struct], head: str = "") -> str:
    head = head or f"Type {_tag(kind)}, {_direction(kind)}."
    lines = [f"### {kind.__name__}\n", f"{head} {inspect.cleandoc(kind.__doc__ or '')}\n"]
    fields = msgspec.structs.fields(kind)
    if fields:
        lines.append("| field | type | default | |\n|---|---|---|---|")
        hints, notes = get_type_hints(kind, include_extras=True), _notes(kind)
        for field in fields:
            type_, described = _type(hints[field.name])
            default = "" if field.default is msgspec.NODEFAULT else f"`{field.default!r}`"
            lines.append(f"| {field.name} | {type_} | {default} | {notes.get(field.name) or described} |")
        lines.append("")
    return "\n".join(lines)


def _tag(kind: Any) -> int:
    return int(kind.__struct_config__.tag)


def _direction(kind: Any) -> str:
    from_client, from_server = kind in frames.CLIENT_FRAMES, kind in frames.SERVER_FRAMES
    return (
        "both ways"
        if from_client and from_server
        else "client → server"
        if from_client
        else "server → client"
    )


def _type(hint: Any) -> tuple[str, str]:
    """(type with its limits, description) of an annotation."""
    metas = [one for one in getattr(hint, "__metadata__", ()) if isinstance(one, msgspec.Meta)]
    base = get_args(hint)[0] if metas else hint
    origin, arguments = get_origin(base), get_args(base)
    described = next((one.description for one in metas if one.description), "")
    if origin is tuple:
        inner = _type(arguments[0])[0]
        words = f"array of {inner}"
    elif type(None) in arguments:
        inner, described = _type(next(one for one in arguments if one is not type(None)))
        words = f"{inner} or nil"
    elif arguments:
        words = " or ".join(f'"{one}"' for one in arguments)
    elif isinstance(base, type) and issubclass(base, msgspec.Struct):
        words = f"[{base.__name__}](#{base.__name__.lower()})"
    else:
        words = {"bytes": "bin"}.get(base.__name__, base.__name__)
    return words + "".join(_limit(one) for one in metas), described or ""


def _limit(meta: msgspec.Meta) -> str:
    if meta.max_length is not None:
        low = meta.min_length or 0
        return f", {low} long" if low == meta.max_length else f", {low} to {meta.max_length} long"
    if meta.le is not None:
        return f", {meta.ge} to {meta.le}"
    return f", at least {meta.ge}" if meta.ge is not None else ""


def _notes(kind: type) -> dict[str, str]:
    """The text under each field, as written in the source."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    body = tree.body[0].body  # type: ignore[attr-defined]
    notes = {}
    for field, after in zip(body, body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                notes[field.target.id] = inspect.cleandoc(str(after.value.value))
    return notes


if __name__ == "__main__":
    sys.stdout.write(reference())
