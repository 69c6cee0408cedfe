"""The profile on disk: promises kept over kills, torn lines, damage, and a second client."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from apps.chat.client import profile as profile_module
from apps.chat.client.profile import Profile, ProfileBusy, ProfileDamaged
from apps.chat.native.frames import Accepted, Deliver, Read, Receipt, Refused, Send

pytestmark = pytest.mark.plain


def deliver(seq: int, message: int, body: bytes = b"hello") -> Deliver:
    return Deliver(seq, message, "+331", "text", body, 1_700_000_000_000)


def test_files_are_for_the_owner_only(tmp_path: Path) -> None:
    with Profile(tmp_path / "p") as profile:
        profile.new_account("+331", "d", "secret")
        profile.save_contacts()
    assert stat.S_IMODE((tmp_path / "p").stat().st_mode) == 0o700
    for file in (tmp_path / "p").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_promise_survives_without_a_clean_close(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, pathlib\n"
        "from apps.chat.client.profile import Profile\n"
        "from apps.chat.native.frames import Send\n"
        "p = Profile(pathlib.Path(sys.argv[1]))\n"
        "p.queue(Send(b'i' * 16, '+332', 'text', b'kept'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    with Profile(tmp_path) as profile:
        assert [send.body for send in profile.outbox.values()] == [b"kept"]
        assert profile.entries[0].state == "queued"


def test_a_message_marked_as_shown_is_not_shown_again_and_an_unmarked_one_is(tmp_path: Path) -> None:
    profile = Profile(tmp_path)
    profile.record([deliver(1, 11, b"a"), deliver(2, 12, b"b")])
    profile.mark_shown(profile.unshown()[:1])
    os.close(profile._lock)
    again = Profile(tmp_path)
    assert [entry.body for entry in again.unshown()] == [b"b"]
    assert list(again.known) == [11, 12]
    assert again.received == 2
    again.close()


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    with Profile(tmp_path) as profile:
        profile.record([deliver(1, 11)])
    with (tmp_path / "journal").open("ab") as file:
        file.write(b'0badc0de ["in",2,12,"+331"')
    with Profile(tmp_path) as profile:
        assert profile.received == 1
        assert not profile.warnings
        profile.record([deliver(2, 12)])
    with Profile(tmp_path) as profile:
        assert list(profile.known) == [11, 12]


def test_damage_in_the_middle_is_set_aside_and_said(tmp_path: Path) -> None:
    with Profile(tmp_path) as profile:
        profile.record([deliver(1, 11)])
        profile.record([deliver(2, 12)])
    path = tmp_path / "journal"
    data = bytearray(path.read_bytes())
    data[20] ^= 0xFF
    path.write_bytes(data)
    with Profile(tmp_path) as profile:
        assert list(profile.known) == [12]
        assert "unreadable" in profile.warnings[0]
    assert list(tmp_path.glob("journal.damaged-*"))


def test_states_follow_answers_and_receipts_also_out_of_order(tmp_path: Path) -> None:
    with Profile(tmp_path) as profile:
        entry = profile.queue(Send(b"1" * 16, "+332", "text", b"x"))
        profile.record([Receipt(1, "+332", "read", (21,), 0)])
        profile.record([Accepted(b"1" * 16, 21, 0)])
        assert entry.state == "read"
        profile.record([Receipt(2, "+332", "delivered", (21,), 0)])
        assert entry.state == "read"
        other = profile.queue(Send(b"2" * 16, "+332", "text", b"x"))
        profile.record([Refused(b"2" * 16, "slow_down", "slowly", True, 1.0)])
        assert other.state == "queued"
        profile.record([Refused(b"2" * 16, "too_big", "too big")])
        assert other.state == "refused"
        assert not profile.outbox


def test_compaction_keeps_promises_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_module, "COMPACT_ABOVE", 100)
    monkeypatch.setattr(profile_module, "KEPT", 3)
    with Profile(tmp_path) as profile:
        profile.queue(Send(b"1" * 16, "+332", "text", b"waiting"))
        for n in range(1, 40):
            profile.record([deliver(n, 100 + n)])
        profile.mark_shown(profile.unshown()[:-5])
        profile.add_read(Read("+331", (1, 2)))
        size = (tmp_path / "journal").stat().st_size
    for _ in range(2):
        with Profile(tmp_path) as profile:
            assert [send.body for send in profile.outbox.values()] == [b"waiting"]
            assert len(profile.unshown()) == 5
            assert len(profile.known) == 39
            assert profile.received == 39
            assert list(profile.reads) == [Read("+331", (1, 2))]
    assert (tmp_path / "journal").stat().st_size < size


def test_a_second_client_on_the_same_profile_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    with Profile(tmp_path), pytest.raises(ProfileBusy, match=str(os.getpid())):
        Profile(tmp_path)
    Profile(tmp_path).close()


def test_an_unreadable_account_is_named(tmp_path: Path) -> None:
    (tmp_path / "account.json").write_text("{half")
    with pytest.raises(ProfileDamaged, match=r"account\.json"):
        Profile(tmp_path, lock=False)


def test_registering_as_somebody_else_does_not_send_the_old_outbox(tmp_path: Path) -> None:
    with Profile(tmp_path) as profile:
        profile.new_account("+331", "d", "k")
        profile.queue(Send(b"1" * 16, "+332", "text", b"from 331"))
        profile.new_account("+339", "d", "k")
        assert not profile.outbox
        profile.queue(Send(b"2" * 16, "+332", "text", b"from 339"))
        profile.new_account("+339", "d2", "k2")
        assert len(profile.outbox) == 1
    assert json.loads((tmp_path / "account.json").read_text())["device"] == "d2"


def test_a_long_life_compacts_by_itself_and_keeps_the_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile_module, "COMPACT_ABOVE", 2000)
    monkeypatch.setattr(profile_module, "KEPT", 5)
    with Profile(tmp_path) as profile:
        entry = profile.queue(Send(b"1" * 16, "+332", "text", b"waiting"))
        for n in range(1, 300):
            profile.record([deliver(n, 100 + n)])
            profile.mark_shown(profile.unshown())
        assert len(profile.entries) < 60
        profile.record([Accepted(b"1" * 16, 5000, 0)])
        assert entry.state == "accepted"
        for n in range(300, 500):
            profile.record([deliver(n, 100 + n)])
        profile.record([Receipt(500, "+332", "delivered", (5000,), 0)])
        assert entry.state == "delivered"
        assert len(profile.unshown()) == 200
    with Profile(tmp_path) as profile:
        assert len(profile.unshown()) == 200
        assert profile.received == 500


def test_a_full_disk_is_said_and_leaves_no_half_line(tmp_path: Path) -> None:
    import resource

    with Profile(tmp_path) as profile:
        profile.queue(Send(b"1" * 16, "+332", "text", b"fits"))
        size = (tmp_path / "journal").stat().st_size
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, before[1]))
        try:
            with pytest.raises(ProfileDamaged, match="cannot write"):
                profile.queue(Send(b"2" * 16, "+332", "text", b"x" * 200))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert (tmp_path / "journal").stat().st_size == size
        profile.queue(Send(b"3" * 16, "+332", "text", b"fits again"))
    with Profile(tmp_path) as profile:
        assert [send.body for send in profile.outbox.values()] == [b"fits", b"fits again"]
        assert not profile.warnings
