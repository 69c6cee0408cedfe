"""The frames of the native protocol, declared once.

Theory of operation: a frame on the wire is a 4-byte big-endian length and one msgpack array
`[type, field, field, …]` (`runtime.net`'s Length4 does the length). Each frame type is one struct
here; `msgspec` checks types and limits while it decodes, so what reaches the session table is well
formed. The same structs make docs/native-protocol.md (`apps.chat.native.reference`) and, where a
browser wants it, JSON.

Growth: fields are only ever added at the end, with a default; a receiver ignores fields it does not
know. Frame types below 128 are mandatory (an unknown one is an error), those from 128 on are
optional (an unknown one is skipped: `decode_*` returns None).

Units: `time` and `server_time` are milliseconds since 1970 UTC (int); every duration is in float seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, ClassVar, Final, Literal, Union, get_args

import msgspec
from msgspec import Meta, Struct

__all__ = [
    "ALPN",
    "CLIENT_FRAMES",
    "CODES",
    "OPTIONAL_FROM",
    "PORT",
    "SERVER_FRAMES",
    "VERSIONS",
    "Accepted",
    "Ack",
    "AskPin",
    "Backlog",
    "BacklogEnd",
    "BadField",
    "Bye",
    "Challenge",
    "ClientFrame",
    "Deliver",
    "Done",
    "Error",
    "FrameError",
    "Hello",
    "Limits",
    "Login",
    "Logout",
    "NotMsgpack",
    "PinSent",
    "Ping",
    "Pong",
    "Proof",
    "Read",
    "Ready",
    "Receipt",
    "Refused",
    "Register",
    "Registered",
    "Resume",
    "Send",
    "ServerFrame",
    "UnknownFrame",
    "Welcome",
    "decode_client",
    "decode_server",
    "encode",
    "pack",
    "tag_of",
]

ALPN: Final = "evergreen/1"
PORT: Final = 7222
VERSIONS: Final = (1,)
OPTIONAL_FROM: Final = 128

# -- types ------------------------------------------------------------------------------------------

Ref = Annotated[int, Meta(ge=0, le=2**53, description="chosen by the asker, given back in the answer")]
User = Annotated[
    str, Meta(min_length=1, max_length=64, description="a user id: E.164 number, or a plain name")
]
Number = Annotated[
    str, Meta(min_length=1, max_length=32, description="a phone number as typed, with its country code")
]
Device = Annotated[str, Meta(max_length=64, description="a device id of the server's making")]
DeviceName = Annotated[str, Meta(max_length=64, description="what the device calls itself")]
Code = Annotated[str, Meta(max_length=32, description="a stable word, see the table of codes")]
Text = Annotated[str, Meta(max_length=512, description="one sentence for a human reader")]
Sasl = Annotated[str, Meta(max_length=1024, description="a SCRAM-SHA-256 message (RFC 7677)")]
Token = Annotated[str, Meta(max_length=512, description="a resume token; opaque, secret")]
Seq = Annotated[
    int, Meta(ge=0, le=2**62, description="a number in this device's queue; gap-free, from 1, never reused")
]
MessageId = Annotated[int, Meta(ge=0, le=2**63 - 1, description="the server's id of a message")]
ClientId = Annotated[
    bytes,
    Meta(min_length=16, max_length=16, description="16 bytes of the sender's choice, new for each message"),
]
Kind = Annotated[
    str,
    Meta(
        min_length=1, max_length=32, description="what the body is: `text`, or a name agreed between clients"
    ),
]
Body = Annotated[
    bytes, Meta(max_length=16 * 2**20, description="opaque to the server; the limit in force is in Welcome")
]
Time = Annotated[int, Meta(ge=0, description="milliseconds since 1970 UTC")]
Seconds = Annotated[float, Meta(ge=0, description="seconds")]
Status = Literal["delivered", "read"]
MessageIds = Annotated[tuple[MessageId, ...], Meta(max_length=1024, description="server ids, oldest first")]


class Limits(Struct, frozen=True, array_like=True):
    """What this server allows; part of `Welcome`."""

    max_frame: int
    "largest frame in bytes, without its length"
    max_body: int
    "largest body of a message in bytes"
    window: int
    "unacknowledged deliveries the server keeps in flight"
    messages_per_second: float
    "mean rate of `Send` beyond which the server reads more slowly"
    ping_every: float
    "seconds without a byte after which the client should ping"
    idle: float
    "seconds without a byte after which the server ends the connection"
    resume_for: float
    "seconds during which a broken connection can be resumed without a login"


class Hello(Struct, frozen=True, array_like=True, tag=1):
    """First frame of a client, once."""

    versions: Annotated[tuple[int, ...], Meta(min_length=1, max_length=16)]
    "protocol versions the client speaks"
    client: Annotated[str, Meta(max_length=128)] = ""
    "name and version of the program"
    features: Annotated[tuple[Annotated[str, Meta(max_length=32)], ...], Meta(max_length=64)] = ()
    "names of optional features the client knows"


class Welcome(Struct, frozen=True, array_like=True, tag=2):
    """Answer to `Hello`: what holds on this connection."""

    version: int
    "the highest version in common"
    features: tuple[str, ...]
    "optional features in common"
    server_time: Time
    limits: Limits
    domain: str
    "the domain of the user ids here"
    node: str
    "name of the node, for reports"


class Bye(Struct, frozen=True, array_like=True, tag=3):
    """The last frame: the sender closes after it. `retry_after` None = do not come back by yourself."""

    code: Code
    text: Text = ""
    retry_after: Seconds | None = None


class Ping(Struct, frozen=True, array_like=True, gc=False, tag=4):
    """Are you there? Either side."""

    ref: Ref = 0


class Pong(Struct, frozen=True, array_like=True, gc=False, tag=5):
    """Answer to `Ping`. The server adds a fresh resume token when the client's is older than 5 minutes.

    With `ref` 0 it may come unasked, for the token's sake.
    """

    __secret_fields__: ClassVar[frozenset[str]] = frozenset({"token"})

    ref: Ref = 0
    token: Token | None = None


class Error(Struct, frozen=True, array_like=True, tag=6):
    """A request failed (`ref`), or the connection did (`ref` None: a `Bye` follows)."""

    ref: Ref | None
    code: Code
    text: Text
    retry: bool = False
    "whether the same request may succeed later"
    retry_after: Seconds | None = None


class Done(Struct, frozen=True, array_like=True, gc=False, tag=7):
    """A request without another answer was carried out and is durable."""

    ref: Ref


class AskPin(Struct, frozen=True, array_like=True, tag=10):
    """Ask for a PIN to be sent to a number, to register a device for it."""

    ref: Ref
    number: Number


class PinSent(Struct, frozen=True, array_like=True, tag=11):
    """A PIN is on its way (or would be, were the number reachable: both answer alike)."""

    ref: Ref
    retry_after: Seconds
    "before this, another PIN will not be sent"
    expires_in: Seconds


class Register(Struct, frozen=True, array_like=True, tag=12):
    """Give the PIN back; the account's former device, if any, is signed off."""

    __secret_fields__: ClassVar[frozenset[str]] = frozenset({"pin"})

    ref: Ref
    number: Number
    pin: Annotated[str, Meta(min_length=1, max_length=16)]
    device: DeviceName = ""


class Registered(Struct, frozen=True, array_like=True, tag=13):
    """The account is yours. `key` is shown this once and is the SCRAM password from now on."""

    __secret_fields__: ClassVar[frozenset[str]] = frozenset({"key"})

    ref: Ref
    user: User
    device: Device
    key: Annotated[
        str, Meta(max_length=64, description="the device key: 32 random bytes, base64url without padding")
    ]


class Login(Struct, frozen=True, array_like=True, tag=20):
    """Begin a login by SCRAM-SHA-256: `data` is the client-first message."""

    ref: Ref
    user: User
    data: Sasl


class Challenge(Struct, frozen=True, array_like=True, tag=21):
    """`data` is SCRAM's server-first message."""

    ref: Ref
    data: Sasl


class Proof(Struct, frozen=True, array_like=True, tag=22):
    """`data` is SCRAM's client-final message."""

    ref: Ref
    data: Sasl


class Ready(Struct, frozen=True, array_like=True, tag=23):
    """Logged in or resumed: `Send`, `Ack` and `Read` are welcome now.

    A device that holds more than `acked` acknowledges it again: the server may have forgotten. One that holds more than
    `acked` + `queued` meets a server restored from a backup: it takes `acked` + `queued` as what it has received.
    """

    __secret_fields__: ClassVar[frozenset[str]] = frozenset({"token"})

    ref: Ref
    user: User
    device: Device
    resumed: bool
    token: Token
    data: Sasl | None
    "SCRAM's server-final message; the client checks it. None after `Resume`"
    acked: Seq
    "everything up to this number is acknowledged; the next delivery has a higher one"
    queued: Annotated[int, Meta(ge=0)]
    "how many wait"
    server_time: Time


class Resume(Struct, frozen=True, array_like=True, tag=24):
    """Go on after a broken connection, without a login."""

    __secret_fields__: ClassVar[frozenset[str]] = frozenset({"token"})

    ref: Ref
    token: Token
    received: Seq = 0
    "the highest number the device holds: deliveries start after it. It acknowledges nothing, see `Ready`"


class Send(Struct, frozen=True, array_like=True, gc=False, tag=30):
    """Send a message. The same `id` again within 7 days gives the same answer and no second message."""

    __secret_fields__: ClassVar[frozenset[str]] = frozenset({"body"})

    id: ClientId
    to: User
    kind: Kind
    body: Body


class Accepted(Struct, frozen=True, array_like=True, gc=False, tag=31):
    """✓: the message is durable in the recipient's queue."""

    id: ClientId
    message: MessageId
    time: Time


class Refused(Struct, frozen=True, array_like=True, gc=False, tag=32):
    """The message was not taken; nothing of it is kept."""

    id: ClientId
    code: Code
    text: Text
    retry: bool = False
    "whether the same message may be taken later"
    retry_after: Seconds | None = None


class Deliver(Struct, frozen=True, array_like=True, gc=False, tag=33):
    """A message for this device. Store it, then `Ack` its number."""

    __secret_fields__: ClassVar[frozenset[str]] = frozenset({"body"})

    seq: Seq
    message: MessageId
    sender: User
    kind: Kind
    body: Body
    time: Time
    attempt: Annotated[int, Meta(ge=1)] = 1
    "how often it was sent to this account, this time included"


class Receipt(Struct, frozen=True, array_like=True, tag=34):
    """✓✓ or read: news of messages this account sent. Numbered and acknowledged as a `Deliver`."""

    seq: Seq
    who: User
    "the recipient of those messages"
    status: Status
    messages: MessageIds
    time: Time


class Ack(Struct, frozen=True, array_like=True, gc=False, tag=35):
    """Everything up to `upto` is stored on the device. Cumulative; repeated or lower ones are ignored."""

    upto: Seq


class Read(Struct, frozen=True, array_like=True, tag=36):
    """The user has read these messages of `to`, who gets a `Receipt` with status `read`."""

    to: User
    messages: MessageIds
    ref: Ref = 0
    "if not 0, the server answers `Done` when the receipt is durable; ask again if it does not"


class Backlog(Struct, frozen=True, array_like=True, gc=False, tag=37):
    """So many entries waited; they follow."""

    count: Annotated[int, Meta(ge=0)]


class BacklogEnd(Struct, frozen=True, array_like=True, gc=False, tag=38):
    """All that waited at `Backlog` has been sent; what follows is new."""


class Logout(Struct, frozen=True, array_like=True, gc=False, tag=40):
    """End the session and make its resume tokens void. The server answers `Bye`."""


ClientFrame = Union[  # noqa: UP007 - msgspec and get_args want the plain form
    Hello,
    Bye,
    Ping,
    Pong,
    AskPin,
    Register,
    Login,
    Proof,
    Resume,
    Send,
    Ack,
    Read,
    Logout,
]
ServerFrame = Union[  # noqa: UP007
    Welcome,
    Bye,
    Ping,
    Pong,
    Error,
    Done,
    PinSent,
    Registered,
    Challenge,
    Ready,
    Accepted,
    Refused,
    Deliver,
    Receipt,
    Backlog,
    BacklogEnd,
]
CLIENT_FRAMES: Final[tuple[type[Struct], ...]] = get_args(ClientFrame)
SERVER_FRAMES: Final[tuple[type[Struct], ...]] = get_args(ServerFrame)

CODES: Final[dict[str, str]] = {
    # bad input: an Error with ref None, then Bye; only that connection ends
    "bad_frame": "not a msgpack array that starts with a frame type",
    "bad_field": "a field has the wrong type, or is too long or out of range",
    "unknown_frame": "a mandatory frame type (below 128) that this server does not know",
    "too_long": "a frame longer than the limit in Welcome",
    "too_early": "a frame that does not belong here yet (or any more)",
    "too_many": "more requests at once than the server will hold",
    "wrong_protocol": "HTTP, XMPP or TLS inside TLS: this port speaks evergreen/1",
    "version": "no protocol version in common; a newer client is needed",
    "bad_ack": "an acknowledgement beyond the last number sent",
    # registration and login
    "bad_number": "not a phone number with its country code",
    "bad_pin": "wrong, expired or used PIN (or none was asked for)",
    "auth_failed": "unknown user or wrong key",
    "bad_token": "the resume token is expired, replaced or not ours: log in",
    "throttled": "too many tries, or too soon after the last one; come back later",
    # service
    "busy": "the node sheds load; come back later",
    "slow_down": "far beyond the allowed rate",
    "queue_full": "the recipient's queue is full by count or bytes",
    "too_big": "the body is larger than the limit in Welcome",
    "no_such_user": "nobody of that name here",
    "unavailable": "the server cannot store it now; try again",
    # Bye
    "replaced": "the account is used by another connection or was registered on another device",
    "logout": "as asked",
    "idle": "nothing was heard for too long",
    "restarting": "the node restarts; come back in a moment",
    "slow_reader": "the client reads more slowly than it is written to",
    "internal": "a fault of the server's; come back",
}


class FrameError(Exception):
    """What a peer sent is not a frame of this protocol. `.code` is stable, see `CODES`."""

    code = "bad_frame"

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class NotMsgpack(FrameError):
    """Noise: not a msgpack array with a frame type in front."""


class UnknownFrame(FrameError):
    """A mandatory frame type that is not known in this direction."""

    code = "unknown_frame"


class BadField(FrameError):
    """A known frame with a wrong field; the text names it by position."""

    code = "bad_field"


# -- API --------------------------------------------------------------------------------------------

encode = msgspec.msgpack.Encoder().encode
"""Encode one frame (no length)."""

_decode_client: Callable[[bytes], ClientFrame] = msgspec.msgpack.Decoder(ClientFrame).decode
_decode_server: Callable[[bytes], ServerFrame] = msgspec.msgpack.Decoder(ServerFrame).decode
_CLIENT_TAGS = frozenset(int(f.__struct_config__.tag) for f in CLIENT_FRAMES)  # type: ignore[arg-type]
_SERVER_TAGS = frozenset(int(f.__struct_config__.tag) for f in SERVER_FRAMES)  # type: ignore[arg-type]


def decode_client(data: bytes) -> ClientFrame | None:
    """Decode a frame sent by a client; None for an unknown optional one. Raises FrameError."""
    try:
        return _decode_client(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        _explain(data, _CLIENT_TAGS, error)
        return None


def decode_server(data: bytes) -> ServerFrame | None:
    """Decode a frame sent by a server; None for an unknown optional one. Raises FrameError."""
    try:
        return _decode_server(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        _explain(data, _SERVER_TAGS, error)
        return None


def pack(frames: Iterable[Struct]) -> bytes:
    """Encode frames with their lengths into one string of bytes, ready for the wire."""
    parts = []
    for frame in frames:
        data = encode(frame)
        parts.append(len(data).to_bytes(4, "big"))
        parts.append(data)
    return b"".join(parts)


def tag_of(data: bytes) -> int | None:
    """The frame type in front of a msgpack array, without decoding the rest; None if there is none."""
    head = data[0] if data else 0
    at = 1 if 0x91 <= head <= 0x9F else 3 if head == 0xDC else 5 if head == 0xDD else 0
    if not at or len(data) <= at:
        return None
    first = data[at]
    width = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}.get(first, 0)
    if width:
        raw = data[at + 1 : at + 1 + width]
        return int.from_bytes(raw, "big") if len(raw) == width else None
    return first if first < 0x80 else None


# -- internals --------------------------------------------------------------------------------------


def _explain(data: bytes, known: frozenset[int], error: Exception) -> None:
    # Only on the slow path: the decoder's own message does not tell an unknown type from a bad field.
    tag = tag_of(data)
    if tag is None:
        raise NotMsgpack("not a msgpack array that starts with a frame type") from None
    if tag not in known:
        if tag >= OPTIONAL_FROM:
            return
        raise UnknownFrame(f"frame type {tag} is not known here") from None
    raise BadField(f"frame type {tag}: {error}"[:200]) from None
