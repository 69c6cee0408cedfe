"""A bundle: what travels from a working tree to a node, signed.

    data = pack(manifest, blobs, key)          # at the tree
    opened = unpack(data, keys, limits)        # at the node: everything is checked before anything of it is used
    opened.sources                             # {relative path: text, or None for a deleted file}

On the wire, MessagePack:  {"manifest": bytes, "key": id, "signature": 64 bytes, "blobs": {sha256: bytes}}
and inside "manifest":     {"format", "base", "release", "files": {path: sha256}, "deleted": [path], "vsns": {path: vsn},
                            "requires": {"python", "runtime"}, "author", "time", "nonce", "note"}

Theory of operation: the signature covers the manifest's bytes, with a prefix of its own so that no other signed thing can
pass for one; the manifest names each text by its hash; so all of it is signed. The manifest's bytes must be canonical (the
same that packing its content gives): one content has one form, and no key can stand there twice. `base` is the release
that the difference was made against and `release` the id of what it leads to: the bundle says nothing but "from exactly
this to exactly that". The nonce and `time` make it usable once: the node remembers nonces for longer than it takes
bundles. What only the node knows (its running release, the nonces that it has seen) is checked by `admin.push_operations`.

An *order* is the small sister for going back and confirming: {"order", "release", "base", "time", "nonce"}, signed too.
"""

from __future__ import annotations

import math
import re
import secrets
import sys
import time
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, NamedTuple

import msgpack

from runtime.code.blobs import digest
from runtime.code.keys import PrivateKey, PublicKey

__all__ = [
    "FORMAT", "RUNTIME_VERSION", "BadBundle", "Limits", "Manifest", "Opened", "Order", "new_nonce", "pack", "pack_order",
    "python_version", "unpack", "unpack_order",
]  # fmt: skip

FORMAT: Final = 1
RUNTIME_VERSION: Final = "0.1.0"
"""The version of the runtime that a bundle is made for; the same as in setup.cfg."""

_PREFIX = b"evergreen bundle\0"
_ORDER_PREFIX = b"evergreen order\0"
_SHA = re.compile(r"[0-9a-f]{64}\Z")
_ID = re.compile(r"[0-9a-f]{12}\Z")
_NONCE = re.compile(r"[0-9a-f]{32}\Z")
_PART = re.compile(r"[^/\\\x00-\x1f\x7f]{1,255}\Z")
_AHEAD = 300.0  # seconds that the other machine's clock may be ahead

# Types


class BadBundle(Exception):
    """A bundle or order is refused: `kind` says by which rule, `str()` is a sentence.

    Kinds: "format", "size", "path", "hash", "signature", "key", "role", "requires", "time"; and "base", "replay" by the node.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Limits:
    """What a bundle may be at most. Sizes are bytes; `age`: seconds since it was made."""

    bundle: int = 16 * 2**20
    file: int = 4 * 2**20
    files: int = 10_000
    path: int = 1_024
    age: float = 86_400.0


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says. `vsns`: `__vsn__` of each changed module that has one, for people and for `--dry-run`."""

    base: str
    release: str
    files: Mapping[str, str]
    deleted: tuple[str, ...] = ()
    vsns: Mapping[str, Any] = field(default_factory=dict)
    requires: Mapping[str, str] = field(default_factory=dict)
    author: str = ""
    time: float = 0.0
    nonce: str = ""
    note: str = ""
    format: int = FORMAT


class Opened(NamedTuple):
    """A bundle whose every part has been checked."""

    manifest: Manifest
    sources: dict[str, str | None]
    key: PublicKey


class Order(NamedTuple):
    """A signed wish that carries no code. `order` is "rollback" or "confirm"; `release` may be empty: the one before."""

    order: str
    release: str
    base: str
    time: float
    nonce: str


# API


def new_nonce() -> str:
    """Return a number that will not come again."""
    return secrets.token_hex(16)


def python_version() -> str:
    """Return this Python's version as `requires` has it: code for one minor version may not run on another."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def pack(manifest: Manifest, texts: Mapping[str, str], key: PrivateKey) -> bytes:
    """Return the bundle's bytes; `texts` holds the text of each path in `manifest.files`."""
    inner = _canonical({**asdict(manifest), "deleted": list(manifest.deleted)})
    blobs = {manifest.files[path]: texts[path].encode() for path in manifest.files}
    return _sealed(_PREFIX, inner, key, {"blobs": dict(sorted(blobs.items()))})


def unpack(
    data: bytes,
    keys: Mapping[str, PublicKey],
    *,
    role: str = "activate",
    limits: Limits | None = None,
    now: float | None = None,
) -> Opened:
    """Check a bundle and return what is in it. `keys` are those believed, by id. Raises BadBundle; nothing else."""
    limits = limits or Limits()
    if len(data) > limits.bundle:
        raise BadBundle("size", f"the bundle has {len(data)} bytes, {limits.bundle} is the limit")
    outer = _map(_decoded(data, limits), {"manifest", "key", "signature", "blobs"}, "the bundle")
    inner, key = _unsealed(_PREFIX, outer, keys, role)
    manifest = _manifest(_decoded(inner, limits), inner, limits)
    _check_time(manifest.time, limits.age, now)
    for what, here in (("python", python_version()), ("runtime", RUNTIME_VERSION)):
        wanted = manifest.requires.get(what)
        if wanted != here:
            raise BadBundle(
                "requires", f"the bundle was made for {what} {wanted or '?'}, this node has {here}"
            )
    sources: dict[str, str | None] = dict.fromkeys(manifest.deleted)
    sources |= _texts(manifest, outer["blobs"], limits)
    return Opened(manifest, sources, key)


def pack_order(order: Order, key: PrivateKey) -> bytes:
    """Return an order's bytes."""
    return _sealed(_ORDER_PREFIX, _canonical(order._asdict()), key, {})


def unpack_order(
    data: bytes, keys: Mapping[str, PublicKey], *, limits: Limits | None = None, now: float | None = None
) -> tuple[Order, PublicKey]:
    """Check an order: its owner has the role `rollback`. Raises BadBundle; nothing else."""
    limits = limits or Limits()
    if len(data) > 4096:
        raise BadBundle("size", f"an order has at most 4096 bytes, not {len(data)}")
    outer = _map(_decoded(data, limits), {"manifest", "key", "signature"}, "the order")
    inner, key = _unsealed(_ORDER_PREFIX, outer, keys, "rollback")
    found = _map(_decoded(inner, limits), {*Order._fields}, "the order")
    _check_canonical(found, inner)
    order = Order(**found)
    ok = order.order in ("rollback", "confirm") and _is(_NONCE, order.nonce) and _is_time(order.time)
    if not ok or not (_is(_ID, order.release) or order.release == "") or not _is(_ID, order.base):
        raise BadBundle("format", "the order is not of the known form")
    _check_time(order.time, limits.age, now)
    return order, key


# Internals: sealing


def _sealed(prefix: bytes, inner: bytes, key: PrivateKey, more: dict[str, Any]) -> bytes:
    signature = key.sign(prefix + inner)
    return _canonical({"manifest": inner, "key": key.public.id, "signature": signature, **more})


def _unsealed(
    prefix: bytes, outer: dict[str, Any], keys: Mapping[str, PublicKey], role: str
) -> tuple[bytes, PublicKey]:
    inner, name, signature = outer["manifest"], outer["key"], outer["signature"]
    if type(inner) is not bytes or type(name) is not str or type(signature) is not bytes:
        raise BadBundle("format", "manifest and signature must be bytes, and the key's id a text")
    key = keys.get(name)
    if key is None:
        raise BadBundle(
            "key",
            f"this node does not know the key {name[:16]!r}: its public half must stand in the node's list of keys "
            "(code.allowed_keys)",
        )
    if not key.verify(signature, prefix + inner):
        raise BadBundle(
            "signature", f"the signature is not that of the key {key.name}: it was changed on its way"
        )
    if role not in key.roles and not (role == "stage" and "activate" in key.roles):
        raise BadBundle("role", f"the key {key.name} may {', '.join(sorted(key.roles))}, and not {role}")
    return inner, key


def _canonical(value: Any) -> bytes:
    return msgpack.packb(_sorted(value), use_bin_type=True)  # type: ignore[no-any-return]


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value


def _check_canonical(value: Any, inner: bytes) -> None:
    try:
        same = _canonical(value) == inner
    # Keys of mixed kinds cannot be sorted, and what is nested without end cannot be walked.
    except (TypeError, ValueError, OverflowError, RecursionError):
        same = False
    if not same:
        raise BadBundle("format", "the manifest is not in its canonical form")


def _decoded(data: bytes, limits: Limits) -> Any:
    try:
        return msgpack.unpackb(
            data, raw=False, strict_map_key=True, max_map_len=limits.files + 64, max_array_len=limits.files + 64
        )  # fmt: skip
    except Exception as error:  # noqa: BLE001 - whatever a stranger's bytes make msgpack raise, they are no bundle
        what = (
            "nothing" if not data else f"{len(data)} bytes that cannot be read as one: {type(error).__name__}"
        )
        raise BadBundle("format", f"this is no bundle, or only a part of one ({what})") from None


def _map(value: Any, names: Collection[str], what: str) -> dict[str, Any]:
    if type(value) is not dict or set(value) != set(names):
        raise BadBundle("format", f"{what} must have exactly these parts: {', '.join(sorted(names))}")
    return value


# Internals: what a manifest must be


def _manifest(found: Any, inner: bytes, limits: Limits) -> Manifest:
    if type(found) is dict and found.get("format") != FORMAT:
        raise BadBundle(
            "format", f"the bundle has format {found.get('format')!r:.20}, this node knows {FORMAT}"
        )
    found = _map(found, {one.name for one in fields(Manifest)}, "the manifest")
    _check_canonical(found, inner)
    texts_ok = all(type(found[name]) is str and len(found[name]) <= 4096 for name in ("author", "note"))
    if not texts_ok or not _is_time(found["time"]) or not _is(_NONCE, found["nonce"]):
        raise BadBundle("format", "author, note, time or nonce are not of the known form")
    if not (_is(_ID, found["base"]) and _is(_ID, found["release"])):
        raise BadBundle("format", "base and release must be ids of releases")
    files, deleted, vsns, requires = (found[name] for name in ("files", "deleted", "vsns", "requires"))
    if type(files) is not dict or type(deleted) is not list or type(vsns) is not dict:
        raise BadBundle("format", "files and vsns must be maps, deleted a list")
    if type(requires) is not dict or not all(type(value) is str for value in requires.values()):
        raise BadBundle("format", "requires must be a map of texts")
    if not 0 < len(files) + len(deleted) <= limits.files:
        raise BadBundle(
            "size", f"the bundle names {len(files) + len(deleted)} files; 1 to {limits.files} are allowed"
        )
    _check_paths([*files, *deleted], limits)
    if not all(_is(_SHA, name) for name in files.values()):
        raise BadBundle("format", "files must be named by their SHA-256")
    if not set(vsns) <= set(files) or not all(_is_vsn(value) for value in vsns.values()):
        raise BadBundle("format", "vsns must be plain values, of files in the bundle")
    return Manifest(**{**found, "deleted": tuple(deleted)})


def _check_paths(paths: list[Any], limits: Limits) -> None:
    seen: dict[str, str] = {}
    for path in paths:
        if type(path) is not str or len(path) > limits.path:
            raise BadBundle("path", f"a path must be a text of at most {limits.path} characters")
        parts = path.split("/")
        if path.startswith("/") or any(part in ("", ".", "..") or not _PART.match(part) for part in parts):
            raise BadBundle("path", f"{path!r} is not a plain path below the tree's root")
        if not path.endswith(".py") or parts[-1] == ".py" or any(part.startswith(".") for part in parts):
            raise BadBundle("path", f"{path!r} is not a Python file: only those can be pushed")
        if unicodedata.normalize("NFC", path) != path:
            raise BadBundle("path", f"{path!r} is not in Unicode's normal form (NFC)")
        # On some file systems these would be one file; and nobody should have to look twice to tell them apart.
        same = seen.setdefault(path.casefold(), path)
        if same is not path:
            raise BadBundle(
                "path", f"{path!r} stands there twice" + (f", also as {same!r}" if same != path else "")
            )


def _texts(manifest: Manifest, blobs: Any, limits: Limits) -> dict[str, str]:
    if type(blobs) is not dict or set(blobs) != set(manifest.files.values()):
        raise BadBundle("hash", "the bundle holds other texts than its manifest names")
    for name, blob in blobs.items():
        if type(blob) is not bytes or len(blob) > limits.file:
            raise BadBundle("size", f"a file of the bundle has more than {limits.file} bytes")
        if digest(blob) != name:
            raise BadBundle("hash", f"a text of the bundle is not the one that was signed ({name[:12]}...)")
    texts = {}
    for path, name in manifest.files.items():
        try:
            texts[path] = blobs[name].decode("utf-8")
        except UnicodeDecodeError:
            raise BadBundle("format", f"{path} is not UTF-8") from None
    return texts


def _check_time(made: float, age: float, now: float | None) -> None:
    now = time.time() if now is None else now
    if made > now + _AHEAD:
        raise BadBundle("time", f"it was made {made - now:.0f} s in the future: are both clocks right?")
    if now - made > age:
        raise BadBundle(
            "time",
            f"it was made {(now - made) / 3600:.1f} hours ago, {age / 3600:g} is the limit: make it anew",
        )


def _is(pattern: re.Pattern[str], value: Any) -> bool:
    return type(value) is str and pattern.match(value) is not None


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_vsn(value: Any) -> bool:
    return value is None or type(value) in (int, float, str, bool)
