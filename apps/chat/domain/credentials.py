"""Device keys, SCRAM-SHA-256 and resume tokens.

A device key is 32 random bytes: nobody guesses it, so a slow hash would protect nothing. `scramp` (and RFC 7677) allow no
fewer than 4,096 rounds on either side; that many it is. They are counted once at registration, in the thread pool; a
login costs the server three HMACs, since SCRAM leaves the rounds to the client.

A resume token is a statement of ours under HMAC: who, which device and registration, when. Nothing is stored for it; a new
registration (epoch) and a logout (`Account.not_before`) make the older ones void.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from scramp import ScramException, ScramMechanism
from scramp.core import ScramServer

from apps.chat.domain.ids import now_ms
from apps.chat.domain.records import Account

__all__ = ["ROUNDS", "BadLogin", "Login", "Secrets", "Token", "derive_keys", "new_device_key"]

ROUNDS: Final = 4096
_MECHANISM = ScramMechanism("SCRAM-SHA-256")


class BadLogin(Exception):
    """The login failed; why is nobody's business."""


class Token(NamedTuple):
    """What a resume token says."""

    user: str
    device: str
    epoch: int
    issued: int


class Secrets:
    """The node's own secret, kept in the data directory, and what is derived from it. Never shown."""

    def __init__(self, secret: bytes) -> None:
        self._token_key = _derive(secret, b"resume token")
        self._decoy_key = _derive(secret, b"decoy salt")
        self.hash_key = _derive(secret, b"ids in logs")

    def __repr__(self) -> str:
        return "<Secrets>"

    @classmethod
    def load(cls, path: Path) -> Secrets:
        """Read the secret file; make it (readable by its owner only) if there is none."""
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            secret = path.read_bytes()
            if len(secret) != 32:
                raise ValueError(f"{path} is not a secret of ours (32 bytes)") from None
            return cls(secret)
        with os.fdopen(fd, "wb") as file:
            secret = secrets.token_bytes(32)
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        return cls(secret)

    def issue(self, user: str, device: str, epoch: int, now: int | None = None) -> str:
        """Make a resume token."""
        body = msgspec.msgpack.encode((user, device, epoch, now_ms() if now is None else now))
        return base64.urlsafe_b64encode(self._sign(body) + body).decode().rstrip("=")

    def read(self, token: str, valid: float, now: int | None = None) -> Token | None:
        """Return what a token says; None if it is not ours, or older than `valid` seconds."""
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            return None
        mac, body = raw[:16], raw[16:]
        if not hmac.compare_digest(mac, self._sign(body)):
            return None
        said = Token(*msgspec.msgpack.decode(body, type=tuple[str, str, int, int]))
        age = (now_ms() if now is None else now) - said.issued
        return said if age <= valid * 1000 else None

    def decoy(self, user: str) -> tuple[bytes, bytes, bytes, int]:
        """SCRAM keys for an unknown user: the same salt each time, and a proof that nobody can give."""
        salt = hmac.digest(self._decoy_key, user.encode(), "sha256")[:16]
        return salt, secrets.token_bytes(32), secrets.token_bytes(32), ROUNDS

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self._token_key, body, "sha256")[:16]


class Login:
    """One SCRAM-SHA-256 dialogue, server side. An unknown user looks like a wrong key to the end."""

    def __init__(self, user: str, account: Account | None, keys: Secrets) -> None:
        decoy = keys.decoy(user)  # always made, so that both ways take the same time
        found = account is not None and (
            account.salt,
            account.stored_key,
            account.server_key,
            account.iterations,
        )
        self.user = user
        self.account = account
        self._named = ""
        self._server: ScramServer = _MECHANISM.make_server(self._auth_of(found or decoy))

    def _auth_of(self, keys: tuple[bytes, bytes, bytes, int]) -> Any:
        def auth(user: str) -> tuple[bytes, bytes, bytes, int]:
            self._named = user
            return keys

        return auth

    def first(self, data: str) -> str:
        """Client-first to server-first. Raises BadLogin."""
        try:
            self._server.set_client_first(data)
            answer = self._server.get_server_first()
        except (ScramException, ValueError) as error:
            raise BadLogin from error
        if self._named != self.user:
            raise BadLogin
        return str(answer)

    def final(self, data: str) -> tuple[Account, str]:
        """Client-final to the account and server-final. Raises BadLogin."""
        try:
            self._server.set_client_final(data)
            answer = self._server.get_server_final()
        except (ScramException, ValueError) as error:
            raise BadLogin from error
        if self.account is None:
            raise BadLogin
        return self.account, str(answer)


def new_device_key() -> str:
    """32 random bytes as text: the device's password."""
    return secrets.token_urlsafe(32)


def derive_keys(key: str) -> tuple[bytes, bytes, bytes, int]:
    """What the server stores of a device key: (salt, stored key, server key, rounds). Takes a millisecond or two of CPU."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", key.encode("ascii"), salt, ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    return salt, stored, hmac.digest(salted, b"Server Key", "sha256"), ROUNDS


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return hmac.digest(secret, purpose, "sha256")
