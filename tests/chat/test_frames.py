"""The frames: what goes in comes out, and whatever comes in never does more than raise a FrameError."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.chat.configuration import SCHEMA
from apps.chat.native import frames as f
from apps.chat.native.dialogue import code_of
from apps.chat.native.reference import reference
from runtime.config import load

pytestmark = pytest.mark.plain

ROOT = Path(__file__).resolve().parents[2]

SAMPLES = [
    f.Hello((1, 2), "x", ("a",)), f.Bye("idle"), f.Ping(3), f.Pong(3, "t"), f.AskPin(1, "+33612345678"),
    f.Register(1, "+33612345678", "12345"), f.Login(1, "anna", "n,,n=anna,r=x"), f.Proof(1, "c=biws"),
    f.Resume(1, "token", 9), f.Send(b"i" * 16, "bob", "text", b"\x00\xff"), f.Ack(7), f.Read("bob", (1, 2), 5),
    f.Logout(),
]  # fmt: skip


@pytest.mark.parametrize("frame", SAMPLES, ids=lambda frame: type(frame).__name__)
def test_a_frame_comes_back_as_it_was(frame: Any) -> None:
    assert f.decode_client(f.encode(frame)) == frame


def test_every_frame_of_a_client_has_a_sample() -> None:
    assert {type(frame) for frame in SAMPLES} == set(f.CLIENT_FRAMES)


def test_frame_types_are_given_once() -> None:
    tags = [kind.__struct_config__.tag for kind in {*f.CLIENT_FRAMES, *f.SERVER_FRAMES}]
    assert len(tags) == len(set(tags))


@given(st.binary(max_size=300))
@settings(max_examples=500)
def test_noise_raises_a_typed_error_or_is_skipped(data: bytes) -> None:
    try:
        f.decode_client(data)
    except f.FrameError as error:
        assert error.code in f.CODES


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.integers(0, 300), st.lists(_VALUES, max_size=8))
@settings(max_examples=500)
def test_wrong_fields_raise_a_typed_error(tag: int, fields: list[Any]) -> None:
    data = msgspec.msgpack.encode([tag, *fields])
    known = {kind.__struct_config__.tag for kind in f.CLIENT_FRAMES}
    try:
        frame = f.decode_client(data)
    except f.FrameError as error:
        assert error.code == ("bad_field" if tag in known else "unknown_frame")
        assert len(error.text) <= 200
    else:
        assert (frame is None) == (tag not in known)
        assert tag in known or tag >= f.OPTIONAL_FROM


@given(st.sampled_from(SAMPLES), st.data())
def test_a_damaged_frame_raises_a_typed_error_or_is_another_frame(frame: Any, data: st.DataObject) -> None:
    raw = bytearray(f.encode(frame))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        f.decode_client(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    except f.FrameError:
        pass


def test_fields_that_are_not_known_yet_are_ignored() -> None:
    assert f.decode_client(msgspec.msgpack.encode([35, 7, "new", {"field": 1}])) == f.Ack(7)


@pytest.mark.parametrize("depth", [1000, 100_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    for data in (b"\x91" * depth, b"\x93\x23\x05" + b"\x91" * depth, b"\x92\x24" + b"\x91" * depth):
        with pytest.raises(f.FrameError):
            f.decode_client(data)


def test_limits_hold() -> None:
    for bad in (
        f.Send(b"i" * 15, "bob", "text", b""), f.Send(b"i" * 16, "", "text", b""), f.Send(b"i" * 16, "b" * 65, "text", b""),
        f.Send(b"i" * 16, "bob", "", b""), f.Read("bob", tuple(range(1025))), f.Ack(-1), f.Hello(()), f.Hello((1,) * 17),
        f.AskPin(-1, "1"), f.Login(1, "bob", "x" * 1025),
    ):  # fmt: skip
        with pytest.raises(f.BadField):
            f.decode_client(f.encode(bad))


def test_packed_frames_have_their_lengths() -> None:
    assert f.pack([f.Ack(3), f.Ping(1)]) == b"\x00\x00\x00\x03\x92\x23\x03\x00\x00\x00\x03\x92\x04\x01"


@pytest.mark.parametrize(
    ("head", "code"),
    [(b"GET / HTTP/1.1", "wrong_protocol"), (b"<?xml version", "wrong_protocol"), (b"\x16\x03\x01\x02", "wrong_protocol"),
     (b"PRI * HTTP/2", "wrong_protocol"), (b"\x92\x01", None), (b"", None)],
)  # fmt: skip
def test_what_foreign_protocols_begin_with_is_known(head: bytes, code: str | None) -> None:
    assert code_of(head) == code


def test_the_reference_page_is_current() -> None:
    page = (ROOT / "docs" / "native-protocol.md").read_text()
    assert page == reference(), "run: python -m apps.chat.native.reference > docs/native-protocol.md"


def test_the_settings_file_shows_every_key_with_its_default() -> None:
    path = ROOT / "etc" / "chat.toml"
    config = load(path, SCHEMA)
    for key in SCHEMA:
        assert config[key.name] == key.default, key.name
        assert config.origin(key.name) != "default", f"{key.name} is not in etc/chat.toml"
        assert key.doc in path.read_text()
