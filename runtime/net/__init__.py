"""Connections on loop watchers: plain and TLS, framed, limited, without a greenlet for each."""

from .client import ConnectError, connect
from .connection import Connection, ConnectionInfo, TLSConnection
from .framing import Framing, FramingError, Length4, Line, Raw
from .limits import Rate
from .listener import Listener, ListenerConfig, ListenerInfo, ListenError
from .protocol import Protocol, ProtocolNotFound
from .reasons import Failure
from .tls import CertificateError, ClientTLS, TLSConfig, TLSInfo

__all__ = [
    "CertificateError", "ClientTLS", "ConnectError", "Connection", "ConnectionInfo", "Failure", "Framing",
    "FramingError", "Length4", "Line", "ListenError", "Listener", "ListenerConfig", "ListenerInfo", "Protocol",
    "ProtocolNotFound", "Rate", "Raw", "TLSConfig", "TLSConnection", "TLSInfo", "connect",
]  # fmt: skip
