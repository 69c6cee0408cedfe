"""The PROXY protocol, version 2: who really connects, told by a trusted load balancer in front of us.

Sans-IO. The header stands before anything else on the connection (before TLS), so a reader must take exactly
its bytes and none of what follows: `needed` says how many to read next.
Source: https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, section 2.2.
"""

from __future__ import annotations

import ipaddress
import socket
import struct

__all__ = ["MAX_HEADER", "ProxyError", "needed", "parse"]

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED = struct.Struct("!12sBBH")
MAX_HEADER = 16 + 1024
"""Bytes of the longest header accepted: addresses take 12 to 216, the rest is optional data that we skip."""


class ProxyError(Exception):
    """The connection did not begin with a PROXY v2 header that we accept."""


def needed(head: bytes | bytearray) -> int:
    """Return how many more bytes complete the header that begins with `head`; 0 when it is whole.

    Raises ProxyError as soon as `head` cannot become a header, or announces one beyond MAX_HEADER.
    """
    got = len(head)
    if head[:12] != _SIGNATURE[:got]:
        raise ProxyError(f"no PROXY v2 header but {bytes(head[:12])!r}")
    if got < 16:
        return 16 - got
    _, version_command, _, length = _FIXED.unpack_from(head)
    if version_command >> 4 != 2:
        raise ProxyError(f"PROXY protocol version {version_command >> 4}, only 2 is spoken here")
    if 16 + length > MAX_HEADER:
        raise ProxyError(f"a PROXY header of {16 + length} bytes, {MAX_HEADER} is the limit")
    return int(16 + length - got)


def parse(head: bytes | bytearray) -> tuple[str, int] | None:
    """Return the real peer's (host, port), or None when the balancer speaks for itself (LOCAL, unknown family).

    `head` is whole (`needed(head) == 0`). Raises ProxyError.
    """
    _, version_command, family, length = _FIXED.unpack_from(head)
    command = version_command & 0x0F
    if command == 0:
        return None
    if command != 1:
        raise ProxyError(f"PROXY command {command} is unknown")
    if family in (0x11, 0x12):
        size, kind = 12, socket.AF_INET
    elif family in (0x21, 0x22):
        size, kind = 36, socket.AF_INET6
    else:
        return None
    if length < size:
        raise ProxyError(f"a PROXY header with {length} bytes of addresses, {size} are needed")
    width = (size - 4) // 2
    host = socket.inet_ntop(kind, bytes(head[16 : 16 + width]))
    (port,) = struct.unpack_from("!H", head, 16 + 2 * width)
    address = ipaddress.ip_address(host)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address), port
