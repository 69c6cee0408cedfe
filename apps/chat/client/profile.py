"""What the client keeps on disk: who we are, what is unsent, what was shown.

One directory per account (0700, files 0600):

    account.json   server, user, device key, resume token: replaced as a whole, by rename
    contacts.json  names for addresses
    journal        one line per event, append-only, each with its checksum; fsynced when a promise hangs on it
    lock           held while a client runs: two clients on one device would take each other's messages

The journal is what makes `send` a promise and a message appear once: a message is written to it
durably before it is acknowledged, and marked as shown before it is printed. A client killed at any
point shows it at the next start if it was not marked, and never twice. A torn last line is what a
kill leaves behind, and is cut off at the next start; damage anywhere else is set aside and said,
not hidden.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import time
import zlib
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from apps.chat.client.arrivals import KNOWN
from apps.chat.client.events import Identity
from apps.chat.native.frames import PORT, Accepted, Deliver, Read, Receipt, Refused, Send

__all__ = ["Account", "Entry", "Profile", "ProfileBusy", "ProfileDamaged", "default_directory"]

# types

KEPT: Final = 500
"Messages whose text survives a compaction."
COMPACT_ABOVE: Final = 1 << 20


class ProfileBusy(Exception):
    """Another client uses this profile now."""


class ProfileDamaged(Exception):
    """A file of the profile cannot be read; the text says which and what to do."""


@dataclass
class Account:
    """What `account.json` holds. `key` and `token` are secrets."""

    host: str = "127.0.0.1"
    port: int = PORT
    ca: str = ""
    user: str = ""
    device: str = ""
    key: str = ""
    token: str = ""
    max_body: int = 0
    "bytes the server takes in a message, as it said last; 0 = it has not said"

    def identity(self) -> Identity | None:
        return Identity(self.user, self.device, self.key, self.token) if self.key else None


@dataclass
class Entry:
    """One message of ours or of somebody else's. `state`: queued, accepted, delivered, read, refused, or received."""

    with_: str
    mine: bool
    kind: str
    body: bytes
    time: float
    state: str
    id: bytes = b""
    message: int = 0
    why: str = ""
    shown: bool = True

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


_RANK: Final = {"queued": 0, "refused": 0, "accepted": 1, "delivered": 2, "read": 3}


def default_directory() -> Path:
    """$EVERGREEN_PROFILE, or ~/.local/share/evergreen (XDG_DATA_HOME is respected)."""
    chosen = os.environ.get("EVERGREEN_PROFILE")
    if chosen:
        return Path(chosen)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "evergreen"


# API


class Profile:
    """The directory, open. Use as a context manager, or `close()` it.

    Invariants: every message of `outbox` has a line `out` and none `ok` or `no` in the journal;
    `known` holds the id of every message that was ever shown from here (lately: the last 4096).
    """

    def __init__(self, directory: Path, *, lock: bool = True) -> None:
        self.directory = directory
        if directory.exists() and not directory.is_dir():
            raise ProfileDamaged(f"{directory} is a file: a profile is a folder of its own (--profile DIR)")
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = self._take_lock() if lock else -1
        self.account = self._load_account()
        self.contacts: dict[str, str] = self._load_contacts()
        self.entries: list[Entry] = []
        self.outbox: OrderedDict[bytes, Send] = OrderedDict()
        self.known: OrderedDict[int, None] = OrderedDict()
        self.reads: deque[Read] = deque()
        self.received = 0
        self.warnings: list[str] = []
        self._by_id: dict[bytes, Entry] = {}
        self._by_message: dict[int, Entry] = {}
        self._unshown: dict[int, Entry] = {}
        self._size = 0
        self._compact_at = COMPACT_ABOVE
        self._early: OrderedDict[int, str] = OrderedDict()
        self._path = directory / "journal"
        self._file = -1
        self._replay()
        if lock:
            self._open_journal()

    def __enter__(self) -> Profile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the files and the lock. Nothing is buffered, so nothing is written here."""
        for fd in (self._file, self._lock):
            if fd >= 0:
                os.close(fd)
        self._file = self._lock = -1

    def save_account(self) -> None:
        """Write account.json durably."""
        self._replace("account.json", json.dumps(asdict(self.account), indent=1).encode())

    def save_contacts(self) -> None:
        """Write contacts.json durably."""
        self._replace("contacts.json", json.dumps(self.contacts, indent=1, sort_keys=True).encode())

    def new_account(self, user: str, device: str, key: str) -> None:
        """Become `user`. Unsent messages of somebody else are not sent in the new name."""
        if self.account.user not in ("", user):
            self._write(
                [["no", i.hex(), "other_account", "the profile was registered anew"] for i in self.outbox]
            )
        self.account.user, self.account.device, self.account.key, self.account.token = user, device, key, ""
        self.save_account()
        self._write([["seq", 0]])

    def name_of(self, user: str) -> str:
        """The contact's name for a user id, or the id."""
        return next((name for name, number in self.contacts.items() if number == user), user)

    def queue(self, message: Send) -> Entry:
        """Put a message into the outbox. Durable when this returns."""
        record = ["out", message.id.hex(), message.to, message.kind, _b64(message.body), time.time()]
        self._write([record])
        return self._by_id[message.id]

    def record(self, events: Iterable[Accepted | Refused | Deliver | Receipt]) -> list[Entry | None]:
        """Write what the server told us, durably, in one go; return the entries that changed (None = no change)."""
        records: list[list[Any]] = []
        touched: list[bytes | int] = []
        for event in events:
            match event:
                case Deliver():
                    records.append(
                        [
                            "in",
                            event.seq,
                            event.message,
                            event.sender,
                            event.kind,
                            _b64(event.body),
                            event.time / 1e3,
                        ]
                    )
                    touched.append(event.message)
                case Accepted():
                    records.append(["ok", event.id.hex(), event.message, event.time / 1e3])
                    touched.append(event.id)
                case Refused():
                    if not event.retry:
                        records.append(["no", event.id.hex(), event.code, event.text])
                    touched.append(event.id)
                case Receipt():
                    records.append(["rc", event.seq, event.status, list(event.messages)])
                    touched.append(0)
        if records:
            self._write(records)
        return [self._by_id.get(t) if isinstance(t, bytes) else self._by_message.get(t) for t in touched]

    def unshown(self) -> list[Entry]:
        """Messages that arrived while nobody looked, oldest first."""
        return list(self._unshown.values())

    def mark_shown(self, entries: Iterable[Entry]) -> None:
        """Remember that these are shown; call it just before printing them.

        Not fsynced: what is written survives the death of this process, and after a power cut a
        message shown again is better than one more disk flush for each line.
        """
        messages = [entry.message for entry in entries if not entry.shown]
        if messages:
            self._write([["shown", messages]], durable=False)

    def add_read(self, read: Read) -> None:
        """Remember a read mark until the server has seen it."""
        self._write([["rd", read.to, list(read.messages)]], durable=False)

    def read_told(self, read: Read) -> None:
        """The server has this read mark for good."""
        self._write([["rdok", read.to, list(read.messages)]], durable=False)

    def entry(self, message: int) -> Entry | None:
        """The entry with this server id, if we still have it."""
        return self._by_message.get(message)

    def entry_of(self, client_id: bytes) -> Entry | None:
        """The entry of ours with this client id, if we still have it."""
        return self._by_id.get(client_id)

    # internals: replay

    def _apply(self, record: list[Any]) -> None:
        match record:
            case ["out", id_, to, kind, body, when]:
                send = Send(bytes.fromhex(id_), to, kind, base64.b64decode(body))
                self.outbox[send.id] = send
                self._add(
                    Entry(to, mine=True, kind=kind, body=send.body, time=when, state="queued", id=send.id)
                )
            case ["ok", id_, message, when]:
                self.outbox.pop(bytes.fromhex(id_), None)
                entry = self._by_id.get(bytes.fromhex(id_))
                if entry is not None:
                    entry.message, entry.time, entry.state = message, when, "accepted"
                    self._by_message[message] = entry
                    _raise_state(entry, self._early.pop(message, "accepted"))
            case ["no", id_, code, text]:
                self.outbox.pop(bytes.fromhex(id_), None)
                entry = self._by_id.get(bytes.fromhex(id_))
                if entry is not None:
                    entry.state, entry.why = "refused", f"{code}: {text}"
                    if code == "too_big":
                        entry.body = entry.body[:1024]  # its start tells which it was; nothing else needs it
            case ["in", seq, message, sender, kind, body, when]:
                self._remember(seq, message)
                body = base64.b64decode(body)
                self._add(Entry(sender, False, kind, body, when, "received", message=message, shown=False))
            case ["shown", messages]:
                for message in messages:
                    if message in self._unshown:
                        self._unshown.pop(message).shown = True
            case ["rd", to, messages]:
                self.reads.append(Read(to, tuple(messages)))
            case ["rdok", to, messages]:
                with contextlib.suppress(ValueError):
                    self.reads.remove(Read(to, tuple(messages)))
            case ["known", seq, message]:
                self._remember(seq, message)
            case ["rc", seq, status, messages]:
                self.received = max(self.received, seq)
                for message in messages:
                    self._receipt(message, status)
            case ["seq", seq]:
                self.received = seq
            case ["old", *values]:
                values[3], values[6] = base64.b64decode(values[3]), bytes.fromhex(values[6])
                self._add(Entry(*values))
            case _:
                pass  # a newer client's line: not ours to judge

    def _add(self, entry: Entry) -> None:
        self.entries.append(entry)
        if entry.id:
            self._by_id[entry.id] = entry
        if entry.message:
            self._by_message[entry.message] = entry
        if not entry.shown:
            self._unshown[entry.message] = entry

    def _remember(self, seq: int, message: int) -> None:
        self.received = max(self.received, seq)
        self.known[message] = None
        if len(self.known) > KNOWN:
            self.known.popitem(last=False)

    def _receipt(self, message: int, status: str) -> None:
        entry = self._by_message.get(message)
        if entry is not None and entry.mine:
            _raise_state(entry, status)
            return
        # The receipt overtook the answer: our connection broke between the two. Keep it for the answer.
        self._early[message] = max(status, self._early.get(message, status), key=_RANK.__getitem__)
        if len(self._early) > KNOWN:
            self._early.popitem(last=False)

    def _replay(self) -> None:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        good, bad = 0, 0
        end = data.rfind(b"\n") + 1
        for line in data[:end].splitlines():
            record = _decode(line)
            if record is None:
                bad += 1
                continue
            self._apply(record)
            good += 1
        torn = len(data) - end
        if bad and self._lock >= 0:
            aside = self._path.with_name(f"journal.damaged-{int(time.time())}")
            aside.write_bytes(data)
            aside.chmod(0o600)
            self.warnings.append(
                f"{bad} of {good + bad} lines of {self._path} were unreadable; a copy is in {aside}"
            )
        if self._lock >= 0 and (bad or torn or len(data) > COMPACT_ABOVE):
            self._compact()

    def _compact(self) -> None:
        """Rewrite the journal with what still matters, and forget the rest here as well."""
        recent = {id(entry) for entry in self.entries[-KEPT:]}
        kept: list[Entry] = []
        lines: list[list[Any]] = [["known", 0, message] for message in self.known]
        for entry in self.entries:
            if entry.mine and entry.id in self.outbox:
                kept.append(entry)
                lines.append(["out", entry.id.hex(), entry.with_, entry.kind, _b64(entry.body), entry.time])
            elif id(entry) in recent or not entry.shown or (entry.mine and entry.state == "accepted"):
                kept.append(entry)
                values = (entry.with_, entry.mine, entry.kind, _b64(entry.body), entry.time, entry.state)
                lines.append(["old", *values, entry.id.hex(), entry.message, entry.why, entry.shown])
        lines.extend(["rc", 0, status, [message]] for message, status in self._early.items())
        lines.extend(["rd", read.to, list(read.messages)] for read in self.reads)
        lines.append(["seq", self.received])
        data = b"".join(_encode(line) for line in lines)
        self._replace("journal", data)
        self._compact_at = max(COMPACT_ABOVE, 2 * len(data))
        self.entries = kept
        self._by_id = {entry.id: entry for entry in kept if entry.id}
        self._by_message = {entry.message: entry for entry in kept if entry.message}
        if self._file >= 0:
            os.close(self._file)
            self._open_journal()

    # internals: files

    def _open_journal(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._size = os.fstat(self._file).st_size
        _sync_directory(self.directory)

    def _write(self, records: list[list[Any]], *, durable: bool = True) -> None:
        data = b"".join(_encode(record) for record in records)
        end = self._size + len(data)
        try:
            rest = data
            while rest:
                rest = rest[os.write(self._file, rest) :]
            if durable:
                os.fsync(self._file)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)  # half a line in the middle would be damage
            raise ProfileDamaged(
                f"cannot write {self._path}: {error.strerror or error}. Nothing was promised."
            ) from error
        self._size = end
        for record in records:
            self._apply(record)
        if self._size > self._compact_at:
            self._compact()

    def _take_lock(self) -> int:
        fd = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, 32).decode("ascii", "replace").strip()
            os.close(fd)
            raise ProfileBusy(
                f"another chat (pid {holder or '?'}) uses the profile {self.directory}: "
                "close it, or give this one its own with --profile DIR"
            ) from None
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        return fd

    def _load_account(self) -> Account:
        raw = self._read_json("account.json")
        names = Account.__dataclass_fields__
        return Account(**{name: value for name, value in raw.items() if name in names})

    def _load_contacts(self) -> dict[str, str]:
        return {str(name): str(number) for name, number in self._read_json("contacts.json").items()}

    def _read_json(self, name: str) -> dict[str, Any]:
        path = self.directory / name
        try:
            value = json.loads(path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ProfileDamaged(f"cannot read {path}: {error}. Move it away and register again.") from error
        if not isinstance(value, dict):
            raise ProfileDamaged(f"{path} does not hold an object. Move it away and register again.")
        return value

    def _replace(self, name: str, data: bytes) -> None:
        # New content first, then the name: a kill leaves the old file or the new one, never half of one.
        fresh = self.directory / f".{name}.new"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with contextlib.closing(os.fdopen(fd, "wb")) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.directory / name)
        _sync_directory(self.directory)


# internals


def _raise_state(entry: Entry, status: str) -> None:
    if _RANK[status] > _RANK[entry.state]:
        entry.state = status


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _encode(record: list[Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _decode(line: bytes) -> list[Any] | None:
    if len(line) < 10 or line[8:9] != b" ":
        return None
    try:
        if int(line[:8], 16) != zlib.crc32(line[9:]):
            return None
        record = json.loads(line[9:])
    except ValueError:
        return None
    return record if isinstance(record, list) else None


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
