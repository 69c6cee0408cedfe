"""Keys that sign what is pushed, and the node's list of those it believes.

A key pair is Ed25519 in two files: `NAME.key`, the private half (PEM, mode 0600, refused when others may read it), and
`NAME.pub`, one line of text that goes into the node's list:

    ed25519 <base64 of the public half> NAME stage,activate,rollback

Roles: `stage` may have a bundle checked and planned; `activate` may push it live; `rollback` may go back and confirm.
A node without a list (`code.allowed_keys` is empty) believes the development key that it makes by itself under its data
directory: whoever can read that file is the node's own user. A node with a list believes no other signature.
A key is known by its `id`, the first 16 hexadecimal digits of its public half's SHA-256. Everything here blocks on files.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from runtime.code.blobs import write_durably

__all__ = [
    "DEVELOPMENT", "ROLES", "KeyProblem", "PrivateKey", "PublicKey", "allowed_keys", "development_key", "load_private",
    "make_pair", "parse_line",
]  # fmt: skip

ROLES: Final = ("stage", "activate", "rollback")
DEVELOPMENT: Final = "development"
_LONGEST = 2**20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")

# Types


class KeyProblem(Exception):
    """A key or a list of keys cannot be used: a sentence with the file, what is wrong, and what to do."""


class PublicKey(NamedTuple):
    """A public half and what its owner may do."""

    id: str
    name: str
    roles: frozenset[str]
    raw: bytes

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Tell whether the owner of this key signed `message`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def line(self) -> str:
        """Return the line for a list of keys."""
        roles = ",".join(role for role in ROLES if role in self.roles)
        return f"ed25519 {base64.b64encode(self.raw).decode()} {self.name} {roles}"


class PrivateKey(NamedTuple):
    """A private half, loaded from a file that only its owner may read."""

    name: str
    public: PublicKey
    secret: Ed25519PrivateKey

    def sign(self, message: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        return self.secret.sign(message)

    def __repr__(self) -> str:
        return f"<private key {self.name} {self.public.id}>"


# API


def make_pair(directory: Path, name: str, roles: Iterable[str] = ROLES) -> PrivateKey:
    """Make a new key pair in `directory` (made with mode 0700 if needed).

    Raises KeyProblem: a bad name or role, a pair of that name is there already, or the directory cannot be written.
    """
    if not _NAME.match(name):
        raise KeyProblem(f"{name!r} is no name for a key: letters, digits and . _ @ - (at most 64)")
    wanted = frozenset(roles)
    if not wanted or not wanted <= {*ROLES}:
        raise KeyProblem(
            f"a key's roles are some of {', '.join(ROLES)}, not {', '.join(sorted(wanted)) or 'none'}"
        )
    path, public_path = directory / f"{name}.key", directory / f"{name}.pub"
    if path.exists() or public_path.exists():
        raise KeyProblem(
            f"{path} is there already: choose another name, or delete both files of that pair first"
        )
    secret = Ed25519PrivateKey.generate()
    pair = PrivateKey(name, _public(secret.public_key(), name, wanted), secret)
    pem = secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The public half first: a crash in between leaves no private key that nobody could use.
        write_durably(public_path, f"{pair.public.line()}\n".encode(), 0o644)
        write_durably(path, pem, 0o600)
    except OSError as error:
        raise KeyProblem(f"{directory} cannot be written ({error.strerror})") from None
    return pair


def development_key(directory: Path) -> PrivateKey:
    """Load the development key in `directory`; make it at the first start, or when it cannot be read any more as a key.

    Raises KeyProblem when others may read it: then it is no secret, and nobody can tell since when.
    """
    path = directory / f"{DEVELOPMENT}.key"
    if path.exists() and path.stat().st_size:
        return load_private(path)
    for left in (path, path.with_suffix(".pub")):
        left.unlink(missing_ok=True)
    return make_pair(directory, DEVELOPMENT)


def load_private(path: Path) -> PrivateKey:
    """Load a private key. Raises KeyProblem: no such file, readable by others, another's file, or not such a key."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())  # of the open file: nobody can exchange it in between
            data = file.read(64 * 1024)
    except OSError as error:
        raise KeyProblem(
            f"{path} cannot be read ({error.strerror}): name your key's file with --key FILE, or make a pair with "
            "tools/push --new-key NAME"
        ) from None
    if status.st_mode & 0o077:
        raise KeyProblem(
            f"{path} may be read by others (mode {status.st_mode & 0o777:03o}): it is no secret then. Make a new key, or, "
            f"if nobody had the chance, chmod 600 {path}"
        )
    if status.st_uid not in (os.geteuid(), 0):
        raise KeyProblem(f"{path} belongs to another user (uid {status.st_uid}): use a key of your own")
    try:
        secret = serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError):
        raise KeyProblem(
            f"{path} holds no private key (PEM, without a passphrase): it is NAME.key of the pair"
        ) from None
    if not isinstance(secret, Ed25519PrivateKey):
        raise KeyProblem(f"{path} is not an Ed25519 key: make one with tools/push --new-key NAME")
    name = path.name.removesuffix(".key")
    return PrivateKey(name, _public(secret.public_key(), name, frozenset(ROLES)), secret)


def allowed_keys(place: Path | None, development: Path) -> Mapping[str, PublicKey]:
    """Return the keys that a node believes, by id.

    `place` is a file of lines or a directory of `*.pub` files; None: the development key in the directory `development`,
    made if there is none. Raises KeyProblem naming file and line; an empty list is a problem too.
    """
    if place is None:
        key = development_key(development).public
        return {key.id: key}
    keys: dict[str, PublicKey] = {}
    for where, line in _lines(place):
        key = parse_line(line, where)
        if key.id in keys:
            raise KeyProblem(f"{where}: the key {key.name} is there twice")
        keys[key.id] = key
    if not keys:
        raise KeyProblem(
            f"{place} holds no key: put the line of a NAME.pub into it (tools/push --new-key NAME)"
        )
    return keys


def parse_line(line: str, where: str = "") -> PublicKey:
    """Read one line of a list of keys. Without roles, a key has all of them. Raises KeyProblem, naming `where`."""
    words = line.split()
    wrong = KeyProblem(
        f"{where or 'a key'}: wanted 'ed25519 BASE64 NAME [ROLE,ROLE]', with roles {', '.join(ROLES)}"
    )
    if len(words) not in (3, 4) or words[0] != "ed25519" or not _NAME.match(words[2]):
        raise wrong
    roles = frozenset(words[3].split(",")) if len(words) == 4 else frozenset(ROLES)
    try:
        raw = base64.b64decode(words[1], validate=True)
        key = _public(Ed25519PublicKey.from_public_bytes(raw), words[2], roles)
    except (binascii.Error, ValueError):
        raise wrong from None
    if not roles <= {*ROLES}:
        raise wrong
    return key


# Internals


def _public(key: Ed25519PublicKey, name: str, roles: frozenset[str]) -> PublicKey:
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return PublicKey(hashlib.sha256(raw).hexdigest()[:16], name, roles, raw)


def _lines(place: Path) -> Iterator[tuple[str, str]]:
    """Yield (file:line, line) for each line that is not blank or a comment."""
    try:
        files = sorted(place.glob("*.pub")) if place.is_dir() else [place]
        if place.is_dir():
            _only_ours(place, place.stat())
        for path in files:
            with path.open() as file:
                _only_ours(
                    path, os.fstat(file.fileno())
                )  # of the open file: nobody can exchange it in between
                text = file.read(_LONGEST)
            for number, line in enumerate(text.splitlines(), 1):
                if line.strip() and not line.lstrip().startswith("#"):
                    yield f"{path}:{number}", line
    except (OSError, UnicodeDecodeError) as error:
        raise KeyProblem(
            f"the list of keys {place} cannot be read ({getattr(error, 'strerror', error)})"
        ) from None


def _only_ours(path: Path, status: os.stat_result) -> None:
    if status.st_mode & 0o022:
        raise KeyProblem(f"{path} may be written by others: anybody could add a key. chmod go-w {path}")
    if status.st_uid not in (os.geteuid(), 0):
        raise KeyProblem(
            f"{path} belongs to another user (uid {status.st_uid}), who could add a key: chown it to the node's, or to root"
        )
