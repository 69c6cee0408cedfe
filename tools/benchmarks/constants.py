"""Figures of peers that are not measured here: measured earlier, on a machine of the kind named, by their own tools.

They are context, not a race in the same run: the same run on that machine varied by 1.5 to 2 times.
"""

from __future__ import annotations

from tools.benchmarks.model import Constant

__all__ = [
    "BEAM_CALL", "BEAM_CALL_QUEUED", "BEAM_CAST", "BEAM_CHANGE", "BEAM_CRASH", "BEAM_CRASH_STORM", "BEAM_HUB", "BEAM_LOAD",
    "BEAM_LOAD_GAP", "BEAM_MEMORY", "BEAM_MEMORY_SERVER", "BEAM_PING_PONG", "BEAM_RING", "BEAM_SPAWN", "BEAM_UPGRADE", "EJABBERD_CPU", "EJABBERD_DRAINED",
    "EJABBERD_IDLE", "EJABBERD_IDLE_LOGIN", "EJABBERD_IDLE_TLS", "EJABBERD_LOGINS", "EJABBERD_MESSAGES", "EJABBERD_P50",
    "EJABBERD_P95", "EJABBERD_P99", "EJABBERD_STORED", "PROSODY_CPU", "PROSODY_DRAINED", "PROSODY_IDLE_LOGIN",
    "PROSODY_LOGINS", "PROSODY_MESSAGES", "PROSODY_P50", "PROSODY_P95", "PROSODY_P99", "PROSODY_STORED", "PYKKA_MEMORY",
]  # fmt: skip

_MACHINE = "measured earlier on a machine of this kind (2 virtual cores, AMD EPYC, Debian 12)"
_OTP = f"Erlang/OTP 25 with JIT, one scheduler, {_MACHINE}"
_EJABBERD = f"ejabberd 23.01, both cores, {_MACHINE}"
_PROSODY = f"Prosody 0.12.3, one core, {_MACHINE}"


def _beam(value: float) -> Constant:
    return Constant("BEAM", value, _OTP)


def _ejabberd(value: float, how: str = "") -> Constant:
    return Constant("ejabberd", value, _EJABBERD, how)


def _prosody(value: float, how: str = "") -> Constant:
    return Constant("Prosody", value, _PROSODY, how)


# Erlang/OTP

BEAM_PING_PONG = _beam(0.51)  # µs
BEAM_RING = _beam(0.25)  # µs a hop
BEAM_CALL = _beam(1.2)  # µs; 1.9 in some runs
BEAM_CALL_QUEUED = _beam(3.6)  # µs; two schedulers: 2.1
BEAM_CAST = _beam(0.14)  # µs
BEAM_SPAWN = _beam(0.67)  # µs; two schedulers: 1.3
BEAM_MEMORY = _beam(2690)  # bytes
BEAM_MEMORY_SERVER = _beam(2728)  # bytes
BEAM_HUB = _beam(16)  # ms; two schedulers: 22
BEAM_CRASH = _beam(4.3)  # µs, batches of 100
BEAM_CRASH_STORM = _beam(120)  # µs, 20,000 in a row
_UPGRADE = "10,000 gen_servers"
BEAM_LOAD = Constant("BEAM", 0.5, _OTP, "a module that 10,000 processes use; 0.5 to 7")  # ms
BEAM_LOAD_GAP = Constant("BEAM", 0.4, _OTP, "the longest gap of a caller; 0.4 to 4")  # ms
BEAM_CHANGE = Constant("BEAM", 19, _OTP, f"{_UPGRADE}, change_code alone; two schedulers: 26")  # ms
BEAM_UPGRADE = Constant(
    "BEAM", 55, _OTP, f"{_UPGRADE}: suspend, load, change_code, resume; two schedulers: 81"
)  # ms

# Pykka: a thread each, so 100,000 are out of reach in a run

PYKKA_MEMORY = Constant("Pykka", 22_600, f"Pykka 4.5, {_MACHINE}")  # bytes

# Chat servers: 100 pairs, window 10, 50-byte bodies. Neither syncs a message to disk before it answers.

_RECEIPTS = "TLS, stream management, a receipt for each; not durable"
EJABBERD_MESSAGES, PROSODY_MESSAGES = _ejabberd(5400, _RECEIPTS), _prosody(1560, _RECEIPTS)  # a second
EJABBERD_CPU, PROSODY_CPU = _ejabberd(287, _RECEIPTS), _prosody(633, _RECEIPTS)  # µs a message
_PACED = "1,000 messages/s"
EJABBERD_P50, PROSODY_P50 = _ejabberd(0.38, _PACED), _prosody(5, _PACED)  # ms
EJABBERD_P95, PROSODY_P95 = _ejabberd(0.58, _PACED), _prosody(38, _PACED)
EJABBERD_P99, PROSODY_P99 = _ejabberd(1.8, _PACED), _prosody(45, _PACED)
EJABBERD_STORED, PROSODY_STORED = _ejabberd(2070), _prosody(2020)  # a second
EJABBERD_DRAINED, PROSODY_DRAINED = _ejabberd(18_900), _prosody(4900)  # a second
_IDLE = "5,000 sessions, TLS and stream management"
EJABBERD_IDLE_LOGIN, PROSODY_IDLE_LOGIN = _ejabberd(71, _IDLE), _prosody(60, _IDLE)  # KB
EJABBERD_LOGINS, PROSODY_LOGINS = _ejabberd(450, "TLS"), _prosody(174, "TLS")  # a second
EJABBERD_IDLE, EJABBERD_IDLE_TLS = _ejabberd(56, "a session"), _ejabberd(64, "a session")  # KB
