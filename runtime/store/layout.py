"""Where everything lies in the LMDB file: the only place that knows keys and record bytes.

One tree (LMDB's unnamed database), because each further tree costs a page per commit:

    00 name                               meta: schema, shards, session          (names below)
    01 shard:2                            the shard's fencing token and owner    msgpack [token, owner]
    02 shard:2 kind 00 key                a record; shard big-endian, kind UTF-8 without NUL

Keys compare as bytes, so the records of a kind lie together in the order of their keys.
Every value, meta included, is

    crc:4 version:8 payload               big-endian; crc over key, version and payload

LMDB has no checksums: it serves a flipped bit as data. The key is part of the sum so that a record that turns up in
another's place is found out as well. CRC-32 (zlib) is enough: it is there against accidents, finds every burst up to
32 bits, and costs 0.1 µs per record; an attacker who can write the file needs no collision.
"""

from __future__ import annotations

import struct
from typing import Final
from zlib import crc32

from runtime.store.contract import MAX_KEY

__all__ = [
    "FORMAT", "MAX_SHARDS", "META_SCHEMA", "META_SESSION", "RECORDS", "TOKENS", "Damaged", "end_of_kind", "pack",
    "record_prefix", "split_record_key", "token_key", "unpack",
]  # fmt: skip

FORMAT: Final = 1
"""Version of this layout. Raised only with code that reads the older one too."""
MAX_SHARDS: Final = 65_536

META_SCHEMA: Final = b"\x00schema"  # msgpack [format, schema, nshards]
META_SESSION: Final = b"\x00session"  # msgpack [session, base, last, answers]: see committer.py
TOKENS: Final = b"\x01"
RECORDS: Final = b"\x02"

_PREFIX = struct.Struct(">cH")
_BODY = struct.Struct(">Q")
_SUM = struct.Struct(">I")
_HEAD = struct.Struct(">IQ")


class Damaged(Exception):
    """The value at `key` does not fit its checksum."""

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self.key = key


def token_key(shard: int) -> bytes:
    """Key of the shard's fencing token."""
    return _PREFIX.pack(TOKENS, shard)


def record_prefix(shard: int, kind: str) -> bytes:
    """What comes before the caller's key; append the key to get the full one."""
    return _PREFIX.pack(RECORDS, shard) + kind.encode() + b"\0"


def end_of_kind(prefix: bytes) -> bytes:
    """The first key after all records with this `record_prefix`."""
    return prefix[:-1] + b"\1"


def split_record_key(full: bytes) -> tuple[int, str, bytes]:
    """The (shard, kind, key) of a full record key; for reports, so it takes damaged keys too."""
    shard = int.from_bytes(full[1:3], "big")
    kind, _, key = full[3:].partition(b"\0")
    return shard, kind.decode("utf-8", "replace"), key[:MAX_KEY]


def pack(full: bytes, version: int, payload: bytes) -> bytes:
    """The stored bytes of a value."""
    body = _BODY.pack(version) + payload
    return _SUM.pack(crc32(body, crc32(full))) + body


def unpack(full: bytes, raw: bytes) -> tuple[int, bytes]:
    """The (version, payload) of stored bytes. Raises Damaged."""
    if len(raw) < _HEAD.size:
        raise Damaged(full)
    total, version = _HEAD.unpack_from(raw)
    if crc32(raw[4:], crc32(full)) != total:
        raise Damaged(full)
    return version, raw[12:]
