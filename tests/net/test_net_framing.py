"""Framings against a model that looks at the whole input at once."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.net.framing import FrameTooBig, FramingError, Length4, Line, Raw, guess

pytestmark = pytest.mark.plain

LIMIT = 20


def cut(data: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in zip(borders, borders[1:], strict=False) if a != b]


def feed(framing, chunks):
    """Return (frames, tail, error kind)."""
    frames, tail = [], None
    for chunk in chunks:
        try:
            got, tail = framing.split(tail, chunk)
        except FramingError as error:
            return frames + error.frames, None, error.kind
        frames += got
        assert tail is None or len(tail) > 0, "nothing may be held at a frame border"
    return frames, bytes(tail or b""), None


def length4_model(data: bytes):
    frames = []
    while len(data) >= 4:
        (size,) = struct.unpack(">I", data[:4])
        if size > LIMIT:
            return frames, None, "too_big"
        if len(data) < 4 + size:
            break
        frames.append(data[4 : 4 + size])
        data = data[4 + size :]
    return frames, data, None


def line_model(data: bytes):
    frames = []
    while b"\n" in data:
        line, _, rest = data.partition(b"\n")
        if len(line) > LIMIT:
            return frames, None, "too_big"
        frames.append(line.removesuffix(b"\r"))
        data = rest
    return (frames, None, "too_big") if len(data) > LIMIT else (frames, data, None)


lengths = st.builds(
    lambda p, n: struct.pack(">I", n) + p, st.binary(max_size=LIMIT), st.integers(0, LIMIT + 2)
)
good = st.binary(max_size=LIMIT).map(lambda p: struct.pack(">I", len(p)) + p)
streams = st.lists(st.one_of(good, good, good, lengths, st.binary(max_size=6)), max_size=12).map(b"".join)
lines = st.lists(st.sampled_from([b"a", b"bb", b"\r", b"\n", b"\r\n", b"x" * 9]), max_size=40).map(b"".join)
places = st.lists(st.integers(0, 10_000), max_size=20)


@given(streams, places)
def test_length4_agrees_with_the_model_however_the_input_is_cut(data, where):
    assert feed(Length4(LIMIT), cut(data, where)) == length4_model(data)


@given(lines, places)
def test_line_agrees_with_the_model_however_the_input_is_cut(data, where):
    assert feed(Line(LIMIT), cut(data, where)) == line_model(data)


@given(st.lists(st.binary(max_size=LIMIT), max_size=20), places)
def test_what_is_packed_comes_out(payloads, where):
    framing = Length4(LIMIT)
    stream = b"".join(map(framing.pack, payloads))
    assert feed(framing, cut(stream, where)) == (payloads, b"", None)


def test_too_big_a_frame_is_refused_on_its_header_alone():
    with pytest.raises(FramingError) as caught:
        Length4(LIMIT).split(None, struct.pack(">I", 3) + b"abc" + struct.pack(">I", LIMIT + 1))
    assert caught.value.frames == [b"abc"]
    assert caught.value.used == 7
    assert caught.value.head == struct.pack(">I", LIMIT + 1)


def test_the_head_of_an_error_is_bounded():
    with pytest.raises(FramingError) as caught:
        Length4(LIMIT).split(None, b"GET / HTTP/1.1\r\n" * 100)
    assert len(caught.value.head) == 64
    assert guess(caught.value.head) == "HTTP"
    assert guess(b"\x00\x01") == "something unknown"


def test_a_frame_that_comes_byte_by_byte_is_never_copied_whole():
    framing = Length4(1 << 20)
    tail = None
    for byte in struct.pack(">I", 1 << 20):
        _, tail = framing.split(tail, bytes([byte]))
    kept = tail
    for _ in range(1000):
        frames, tail = framing.split(tail, b"x")
        assert not frames
        assert tail is kept, "the tail grows in place"


def test_our_own_frames_are_checked_too():
    with pytest.raises(FrameTooBig):
        Length4(LIMIT).pack(b"x" * (LIMIT + 1))
    with pytest.raises(FrameTooBig):
        Line(LIMIT).pack(b"two\nlines")
    assert Line(LIMIT).pack(b"one") == b"one\r\n"
    assert Raw().split(None, b"as it is") == ([b"as it is"], None)
    with pytest.raises(ValueError, match="max_frame"):
        Length4(0)
    with pytest.raises(ValueError, match="max_line"):
        Line(0)
