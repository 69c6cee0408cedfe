"""The wire form of dynamic terms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.kernel import (
    BadTerm,
    Crash,
    RemotePid,
    Shutdown,
    decode_term,
    encode_term,
    exit,
    is_alive,
    receive,
    self_,
    spawn,
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
)
TERMS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(0, 9), inner)
    ),
    max_leaves=20,
)


@pytest.mark.plain
@given(TERMS)
def test_terms_come_back_as_they_were(term: object) -> None:
    """Tuples stay tuples, text stays text, bytes stay bytes."""
    assert decode_term(encode_term(term)) == term


@pytest.mark.plain
@given(st.binary(max_size=200))
def test_noise_is_a_bad_term_or_a_term(data: bytes) -> None:
    """Bytes of a stranger never do more than fail."""
    try:
        decode_term(data)
    except BadTerm:
        pass


def test_a_pid_comes_home_as_the_process_itself() -> None:
    """RUNTIME 2: wire form and equality across nodes; a pid of a former life is dead."""
    pid = spawn(receive)
    assert decode_term(encode_term(("pid", pid)))[1] is pid
    wire = encode_term(pid)
    exit(pid, "kill")
    assert not is_alive(decode_term(wire))
    far = RemotePid("far@host", 3, 1)
    assert decode_term(encode_term(far)) == far


def test_reasons_travel() -> None:
    """Exit reasons are values: Shutdown(term), and a crash as its text."""
    assert decode_term(encode_term(Shutdown(("x", self_())))) == Shutdown(("x", self_()))
    try:
        raise KeyError("gone")
    except KeyError as error:
        crash = Crash(error)
    there = decode_term(encode_term(crash))
    assert isinstance(there, Crash)
    assert "KeyError" in there.message
    assert "gone" in there.message


@pytest.mark.plain
@pytest.mark.parametrize("value", [object(), {1, 2}, 2**70, lambda: 1])
def test_what_has_no_wire_form_is_refused(value: object) -> None:
    with pytest.raises(BadTerm):
        encode_term(value)


@pytest.mark.plain
@pytest.mark.parametrize("data", [b"", b"\xc1", b"\xc7\x01\x02\xc0", b"\xd4\x63\xc0"])
def test_bytes_that_are_no_term_are_refused(data: bytes) -> None:
    with pytest.raises(BadTerm):
        decode_term(data)
