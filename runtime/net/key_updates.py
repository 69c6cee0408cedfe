"""TLS 1.3 key updates, one at a time: the guard against a peer that sends nothing else.

A peer may change its keys whenever it likes (RFC 8446 4.6.3): 27 bytes, some microseconds of ours each. OpenSSL in the
mode that Python gives it (SSL_MODE_AUTO_RETRY) does not return from a read before data comes or the socket is empty: a
peer that sends key updates as fast as we take them holds the loop, and with it the node, for ever. Without that mode a
read returns after each, and the loop serves everybody else in between.

Python has no name for that mode, so it is cleared by OpenSSL's own function. Its argument is taken from the socket object
only after a field beside it was seen to hold what it must; where that fails, TLS 1.2, which has no key updates, is all
that is spoken (`is_guarded` False).
"""

from __future__ import annotations

import ctypes
import ssl
from typing import Any, Final

__all__ = ["guard", "is_guarded"]

_CLEAR_MODE: Final = 78  # SSL_CTRL_CLEAR_MODE
_AUTO_RETRY: Final = 4  # SSL_MODE_AUTO_RETRY
_WORD: Final = ctypes.sizeof(ctypes.c_void_p)
_SSL: Final = object.__basicsize__ + _WORD  # PySSLSocket: head, weak reference to the owner, SSL *, context
_CONTEXT: Final = _SSL + _WORD


# API


def guard(tls: Any) -> bool:
    """Let a read of this SSLSocket or SSLObject, whose handshake is still to come, return after each key update."""
    inner = tls._sslobj
    if _control is None or inner is None or _word(inner, _CONTEXT) != id(inner.context):
        return False
    pointer = _word(inner, _SSL)
    return bool(pointer) and not _control(pointer, _CLEAR_MODE, _AUTO_RETRY, None) & _AUTO_RETRY


# internals


def _word(holder: Any, offset: int) -> int | None:
    return ctypes.c_void_p.from_address(id(holder) + offset).value


def _find() -> Any:
    try:
        import _ssl

        # What its module is linked with is found through it: another libssl may be loaded as well.
        found = ctypes.CDLL(getattr(_ssl, "__file__", None)).SSL_ctrl
    except (ImportError, OSError, AttributeError):
        return None
    found.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p)
    found.restype = ctypes.c_long
    return found


def _works() -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return guard(context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost"))


_control = _find()
is_guarded: Final = _works()
"""Whether `guard` works with this Python; decided once."""
