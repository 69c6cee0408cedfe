"""TLS contexts: server certificates by name that change on disk without a restart, and client contexts.

Only new handshakes see a new certificate; a connection that stands keeps the context it was made with. A new
certificate that cannot be used (half written, wrong key) is reported and the old one stays in use.
TLS 1.2 and above, no session tickets (each costs memory per connection and a key to rotate). Against floods of key
updates: `key_updates`.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from runtime.net.key_updates import is_guarded

__all__ = ["CertificateError", "ClientTLS", "ServerContexts", "TLSConfig", "TLSInfo", "client_context"]


# types


class CertificateError(Exception):
    """A certificate, key or authority file cannot be used; one sentence naming the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class TLSConfig:
    """The server side. `names` maps host names (or `*.example.org`) to (certificate, key); the first pair is the default.

    `client_ca`: clients must show a certificate signed by it. `require_alpn`: a client that names none of `alpn`
    is refused in the handshake's last step. `reload_every`: seconds between looks at the files; 0 = never.
    """

    certificate: str
    key: str
    names: dict[str, tuple[str, str]] = field(default_factory=dict)
    alpn: tuple[str, ...] = ()
    require_alpn: bool = False
    client_ca: str | None = None
    minimum: str = "1.2"
    ciphers: str | None = None
    reload_every: float = 5.0


@dataclass(frozen=True, slots=True)
class ClientTLS:
    """The client side. `ca_file` None: the system's authorities. `server_name` None: the host that is connected to.

    `certificate` and `key` are shown to a server that asks for one.
    """

    ca_file: str | None = None
    server_name: str | None = None
    alpn: tuple[str, ...] = ()
    certificate: str | None = None
    key: str | None = None
    minimum: str = "1.2"


@dataclass(frozen=True, slots=True)
class TLSInfo:
    """What the handshake agreed on. `name`: the host name that the client asked for (server side)."""

    version: str
    cipher: str
    alpn: str | None
    name: str | None
    peer_certificate: dict[str, Any] | None


class ServerContexts:
    """The contexts of one listener. `context` is the one for the next handshake; `reload()` makes new ones.

    Reads files (blocks for a millisecond or two; local disk) in the constructor and in `reload`.
    """

    __slots__ = ("_by_name", "_config", "_stamp", "context")

    def __init__(self, config: TLSConfig) -> None:
        self._config = config
        self._stamp = self._look()
        self.context, self._by_name = self._load()

    def reload(self, force: bool = False) -> bool:
        """Load the files again if they changed; tell whether they did.

        Raises CertificateError, once for each state of the files; the old contexts stay.
        """
        stamp = self._look()
        if stamp == self._stamp and not force:
            return False
        self._stamp = stamp
        self.context, self._by_name = self._load()
        return True

    def _files(self) -> list[str]:
        config = self._config
        files = [config.certificate, config.key, *(path for pair in config.names.values() for path in pair)]
        return [*files, config.client_ca] if config.client_ca else files

    def _look(self) -> tuple[Any, ...]:
        return tuple(map(_stamp_of, self._files()))

    def _load(self) -> tuple[ssl.SSLContext, dict[str, ssl.SSLContext]]:
        config = self._config
        by_name = {name.lower(): self._make(*pair) for name, pair in config.names.items()}
        default = self._make(config.certificate, config.key)

        def choose(tls: Any, name: str | None, _context: ssl.SSLContext) -> None:
            # Looked at in the middle of a handshake; the contexts of one load belong together.
            if name:
                tls.server_name_asked = name
                found = by_name.get(name.lower()) or by_name.get("*." + name.lower().partition(".")[2])
                if found is not None:
                    tls.context = found

        default.sni_callback = choose
        return default, by_name

    def _make(self, certificate: str, key: str) -> ssl.SSLContext:
        config = self._config
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _common(context, config.minimum, config.alpn)
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE
        if config.ciphers:
            context.set_ciphers(config.ciphers)
        _load_chain(context, certificate, key)
        if config.client_ca:
            _load_authority(context, config.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


# API


def client_context(config: ClientTLS) -> ssl.SSLContext:
    """Make the context of outgoing connections. Reads files. Raises CertificateError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies the certificate and the host name
    _common(context, config.minimum, config.alpn)
    if config.ca_file is None:
        context.load_default_certs()
    else:
        _load_authority(context, config.ca_file)
    if config.certificate is not None:
        _load_chain(context, config.certificate, config.key or config.certificate)
    return context


def cached_client_context(config: ClientTLS) -> ssl.SSLContext:
    """Like `client_context`, kept for as long as the files stay the same: one context for many connections."""
    files = (config.ca_file, config.certificate, config.key)
    return _cached(config, tuple(None if path is None else _stamp_of(path) for path in files))


def info_of(tls: ssl.SSLSocket) -> TLSInfo:
    """Describe an established TLS socket."""
    cipher = tls.cipher()
    return TLSInfo(
        version=tls.version() or "",
        cipher=cipher[0] if cipher else "",
        alpn=tls.selected_alpn_protocol(),
        name=getattr(tls, "server_name_asked", None),
        peer_certificate=tls.getpeercert() or None,
    )


# internals


@lru_cache(maxsize=32)
def _cached(config: ClientTLS, _stamps: tuple[Any, ...]) -> ssl.SSLContext:
    return client_context(config)


def _common(context: ssl.SSLContext, minimum: str, alpn: tuple[str, ...]) -> None:
    versions = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
    if minimum not in versions:
        raise ValueError(f"the minimum TLS version is '1.2' or '1.3', not {minimum!r}")
    if not is_guarded:
        if minimum != "1.2":
            raise ValueError("TLS 1.3 alone cannot be spoken safely by this Python: use a minimum of '1.2'")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.minimum_version = versions[minimum]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if alpn:
        context.set_alpn_protocols(list(alpn))


def _load_chain(context: ssl.SSLContext, certificate: str, key: str) -> None:
    for path in (certificate, key):
        if not os.access(path, os.R_OK):
            raise CertificateError(f"{path}: {'cannot be read' if Path(path).exists() else 'no such file'}")
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        why = getattr(error, "reason", None) or error
        raise CertificateError(f"{certificate} with key {key}: {why}") from error


def _load_authority(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        raise CertificateError(f"{path}: {getattr(error, 'reason', None) or error}") from error


def _no_password() -> str:
    # Without this OpenSSL asks on the terminal, and the node hangs.
    raise ValueError("the key is protected by a password; give one without")


def _stamp_of(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
