"""The release log: what was added is there after kill -9, torn and damaged records, restarts and clean-ups."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import pytest

from runtime.code import blobs, records
from runtime.code.blobs import BlobDamaged, Blobs, digest
from runtime.code.records import Records
from runtime.code.release import ENDED
from runtime.code.release_log import ReleaseLog, UnknownRelease, release_id

pytestmark = pytest.mark.plain
ROOT = Path(__file__).resolve().parents[2]
ONE = {"apps/a.py": "x = 1\n", "apps/b.py": "y = 1\n"}
TWO = {"apps/a.py": "x = 2\n", "apps/b.py": "y = 1\n", "apps/c.py": "new = True"}
THREE = {"apps/b.py": "y = 3\n", "apps/c.py": "new = True"}


@pytest.fixture
def log(tmp_path):
    made = ReleaseLog.open(tmp_path / "code")
    yield made
    made.close()


def again(log, **options):
    log.close()
    return ReleaseLog.open(log.directory, **options)


def add(log, files, **more):
    return log.add(**{"kind": "push", "files": files, "by": "alice", **more})


def id_of(files):
    return release_id({path: digest(text.encode()) for path, text in files.items()})


def test_releases_are_kept_with_their_sources(log):
    first = add(log, ONE, kind="boot")
    second = add(
        log,
        TWO,
        base=first.id,
        note="better",
        seconds={"total": 0.5},
        migrated=7,
        notes=["note: look"],
        result="probation",
    )
    log = again(log)
    assert log.problems == []
    assert log.releases() == [first, second]
    assert second.notes == ("note: look",)
    assert [one.number for one in log.releases()] == [1, 2]
    assert log.sources(first) == ONE
    assert log.sources(second.id) == TWO
    assert (second.base, second.note, second.migrated, second.seconds) == (
        first.id,
        "better",
        7,
        {"total": 0.5},
    )
    assert first.id == release_id({path: digest(text.encode()) for path, text in ONE.items()})
    log.close()


def test_the_same_content_has_the_same_id_and_another_number(log):
    first, _, third = add(log, ONE), add(log, TWO), add(log, dict(reversed(ONE.items())))
    assert first.id == third.id
    assert first.number != third.number
    assert log.find(first.id) == third
    assert log.find(f"#{first.number}") == log.find(first.number) == log.find(first) == first


@pytest.mark.parametrize("ref", ["#²", "#" + "9" * 5000, "#", "", "#-1", "x" * 9999])
def test_strange_names_are_unknown_releases(log, ref):
    add(log, ONE)
    with pytest.raises(UnknownRelease) as caught:
        log.find(ref)
    assert len(str(caught.value)) < 200


def test_finding(log):
    first = add(log, ONE)
    add(log, TWO)
    assert log.find(first.id[:5].upper()) == first
    for ref in ("zz", "", "#9", 9, "#x"):
        with pytest.raises(UnknownRelease, match="there is no release"):
            log.find(ref)
    with pytest.raises(UnknownRelease, match="too short for a release's id: name at least 4 characters"):
        log.find(first.id[:3])


def test_a_bare_number_is_a_number_whatever_ids_begin_with(log):
    texts = ({"apps/a.py": f"x = {number}"} for number in itertools.count())
    digits = next(files for files in texts if id_of(files)[:4].isdecimal() and id_of(files)[0] != "0")
    for files in (ONE, TWO, digits):
        add(log, files)
    third = log.releases()[2]
    assert log.find("3") == log.find("#3") == log.find(3) == third
    with pytest.raises(UnknownRelease, match=f"there is no release #{int(third.id[:4])}:"):
        log.find(third.id[:4])
    assert log.find(third.id) == third


def test_the_beginning_of_two_ids_names_neither(log):
    seen = {}
    for number in itertools.count():
        files = {"apps/a.py": f"x = {number}"}
        other = seen.setdefault(id_of(files)[:4], files)
        if other is not files and not id_of(files)[:4].isdecimal():
            break
    first, second = add(log, other), add(log, files)
    with pytest.raises(UnknownRelease) as caught:
        log.find(first.id[:4])
    for one in (first, second):
        assert f"{one.id} (#{one.number})" in str(caught.value)
    assert log.find(second.id[:11]) == second


def test_nothing_that_was_taken_back_is_the_last_good_one(log):
    good = add(log, ONE)
    bad = add(log, TWO, result="bad", why="3 crashes")
    add(log, ONE, kind="rollback")
    add(log, TWO, kind="boot")  # started from the tree once more: an older log has it as good
    assert log.last_good().id == good.id
    assert log.found_bad(bad.id) == bad
    assert log.boot_sources() == ONE
    better = add(log, TWO, kind="push")  # it was found good, later
    assert log.found_bad(bad.id) is None
    assert log.last_good() == better


def test_what_was_good_once_is_not_bad_since_somebody_left_it(log):
    first = add(log, ONE)
    add(log, TWO)
    add(log, ONE, kind="push", result="rolled_back", why="rolled back by anna")
    assert log.found_bad(first.id) is None


def test_the_reason_is_that_of_the_fault_and_not_of_the_end_that_followed(log):
    add(log, ONE)
    bad = add(log, TWO, result="bad", why="3 crashes")
    add(log, TWO, kind="boot", result="rolled_back", why=f"{ENDED}")
    assert log.found_bad(bad.id) == bad


def test_what_was_gone_back_to_and_left_again_is_not_bad(log):
    first = add(log, ONE)
    add(log, TWO, result="rolled_back", why="rolled back by anna")
    back = add(log, ONE, kind="rollback")
    log.judge(back, "rolled_back", "rolled back by anna")
    assert log.found_bad(first.id) is None


def test_a_log_of_an_older_runtime_says_live_for_good(tmp_path):
    """What stands in its file is read for ever."""
    log = ReleaseLog.open(tmp_path / "code")
    first = add(log, ONE, result="probation")
    log.judge(first, "good", "confirmed")
    add(log, TWO)
    log.close()
    file = tmp_path / "code" / "releases.log"
    lines = []
    for line in file.read_text().splitlines():
        text = line.partition(" ")[2].replace('"good"', '"live"')
        lines.append(f"{zlib.crc32(text.encode()):08x} {text}")
    file.write_text("".join(f"{line}\n" for line in lines))
    again = ReleaseLog.open(tmp_path / "code")
    assert again.problems == []
    assert [one.result for one in again.releases()] == ["good", "good"]
    again.close()


def test_what_runs_and_what_was_good(log):
    assert log.current() is None
    assert log.last_good() is None
    first = add(log, ONE)
    second = add(log, TWO, result="probation")
    assert (log.current(), log.last_good()) == (second, first)
    add(log, THREE, result="refused", why="x.py:1: no")
    assert (log.current(), log.last_good()) == (second, first)
    second = log.judge(second, "good", seconds={"probation": 60.0})
    log = again(log)
    assert log.current() == log.last_good() == second
    log.judge(second, "bad", "it crashed")
    log = again(log)
    assert log.current() == first
    assert log.find(second.number).why == "it crashed"
    assert log.find(second.number).seconds == {"probation": 60.0}
    log.close()


def test_kinds_and_results_are_checked(log):
    for more in ({"kind": "odd"}, {"result": "odd"}):
        with pytest.raises(ValueError, match="must be one of"):
            add(log, ONE, **more)
    first = add(log, ONE)
    with pytest.raises(ValueError, match="must be one of"):
        log.judge(first, "odd")
    with pytest.raises(ValueError, match="only seconds, migrated"):
        log.judge(first, "bad", number=7)
    with pytest.raises(UnknownRelease):
        log.judge(99, "bad")


def test_differences_are_what_patch_reads(log, tmp_path):
    first, second = add(log, ONE), add(log, TWO)
    found = log.diff(first, second)
    assert list(found) == ["apps/a.py", "apps/c.py"]
    assert "-x = 1\n+x = 2\n" in found["apps/a.py"]
    assert found["apps/c.py"].startswith("--- /dev/null")
    for path, text in ONE.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    subprocess.run(
        ["git", "apply", "-"], input="".join(found.values()), text=True, cwd=tmp_path, check=True, timeout=30
    )
    assert {path: (tmp_path / path).read_text() for path in TWO} == TWO
    assert log.diff(second, second) == {}
    assert list(log.diff(second, add(log, THREE))) == ["apps/a.py", "apps/b.py"]


def test_a_node_in_push_mode_boots_the_last_good_one(log):
    assert log.boot_sources() is None
    add(log, ONE)
    add(log, TWO, result="refused")
    assert log.boot_sources() == ONE


def test_a_release_that_was_in_probation_at_the_end_is_passed_over(log):
    add(log, ONE)
    second = add(log, TWO, result="probation")
    log = again(log)
    assert log.boot_sources() == ONE
    assert log.find(second).result == "rolled_back"
    assert "ended during its probation" in log.find(second).why
    assert any("was in probation" in problem for problem in log.problems)
    log = again(log)
    assert log.find(second).result == "rolled_back"
    log.close()


def test_a_damaged_text_is_found_and_the_release_before_is_booted(log):
    add(log, ONE)
    second = add(log, TWO)
    path = log._blobs.path(second.files["apps/a.py"])
    path.write_text("x = 3\n")  # the same size
    with pytest.raises(BlobDamaged, match="is damaged"):
        log.sources(second)
    assert log.boot_sources() == ONE
    assert any(f"release {second} cannot be booted" in problem for problem in log.problems)
    assert log.find(second).result == "bad"
    path.unlink()
    with pytest.raises(BlobDamaged, match="cannot be read"):
        log.sources(second)


def test_a_lost_manifest_costs_its_release_alone(log):
    first, second = add(log, ONE), add(log, TWO)
    canonical = json.dumps(dict(second.files), separators=(",", ":"), sort_keys=True)
    log._blobs.path(digest(canonical.encode())).unlink()
    log = again(log)
    assert log.releases() == [first]
    assert ["release #2 is left out" in problem for problem in log.problems] == [True]
    # Its number is not given to another, not even when it is forgotten.
    log.compact()
    log = again(log)
    assert add(log, THREE).number == 3
    log.close()


def test_a_text_that_was_cut_is_written_again(log):
    first = add(log, ONE)
    for damaged in (b"", b"x = 7\n"):  # cut; rotten, and of the same size
        log._blobs.path(first.files["apps/a.py"]).write_bytes(damaged)
        second = add(log, ONE)
        assert log.sources(second) == ONE


def test_every_torn_tail_is_tolerated(log):
    """Cut the file at every byte of its last record: everything before it stands, and writing goes on."""
    first = add(log, ONE)
    file = log.directory / "releases.log"
    before = file.stat().st_size
    add(log, TWO)
    log.close()
    whole = file.read_bytes()
    for end in range(before, len(whole)):
        file.write_bytes(whole[:end])
        found = ReleaseLog.open(log.directory)
        assert found.releases() == [first]
        assert len(found.problems) == (end > before), end
        added = add(found, THREE)
        found.close()
        found = ReleaseLog.open(log.directory)
        assert found.problems == []
        assert found.releases() == [first, added]
        found.close()


def test_damage_in_the_middle_costs_one_record_and_is_named(log):
    releases = [add(log, {"apps/a.py": f"x = {n}"}) for n in range(5)]
    log.close()
    file = log.directory / "releases.log"
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    for kind in range(3):
        third = bytearray(lines[2])
        if kind == 0:
            third[40] ^= 1
        elif kind == 1:
            third = bytearray(b"\0" * (len(third) - 1) + b"\n")
        else:
            third = bytearray(b"garbage\nmore garbage\n\n")
        file.write_bytes(b"".join([*lines[:2], third, *lines[3:]]))
        found = ReleaseLog.open(log.directory)
        assert found.releases() == [*releases[:2], *releases[3:]]
        assert found.problems[0] == f"{file}: line 3 is damaged and left out (its checksum is wrong)"
        found.close()


def test_much_damage_is_said_in_a_few_lines(log):
    log.close()
    (log.directory / "releases.log").write_bytes(b"rubbish\n" * 100)
    found = ReleaseLog.open(log.directory)
    assert len(found.problems) == 6
    assert found.problems[-1].endswith("and 95 more damaged lines; see to the disk")
    found.close()


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"t": "release"},
        {"t": "release", "number": "x"},
        {"t": "verdict", "number": [1]},
        {"t": "operation", "time": 1},
        {"t": "nonce"},
        {"t": "next", "number": None},
        {"t": "release", "number": 1, "manifest": "../../etc/passwd"},
    ],
)
def test_whole_records_of_a_strange_form_are_left_out(log, record):
    first = add(log, ONE)
    log.close()
    text = json.dumps(record, separators=(",", ":"), sort_keys=True).encode()
    with (log.directory / "releases.log").open("ab") as file:
        file.write(b"%08x %s\n" % (zlib.crc32(text), text))
    found = ReleaseLog.open(log.directory)
    assert found.releases() == [first]
    assert len(found.problems) == 1
    found.close()


def test_records_of_a_later_version_are_passed_over(log):
    first = add(log, ONE)
    log.close()
    records = Records(log.directory / "releases.log")
    records.append({"t": "something new", "number": 9})
    records.close()
    found = ReleaseLog.open(log.directory)
    assert (found.releases(), found.problems) == ([first], [])
    found.close()


def test_retention_keeps_the_newest_the_running_and_the_good(log):
    log = again(log, keep=3)
    good = add(log, ONE)
    for n in range(40):
        add(log, {"apps/a.py": f"x = {n}"}, result="refused")
    log = again(log, keep=3)
    assert log.current() == log.last_good() == log.releases()[0] == good
    assert [one.number for one in log.releases()] == [1, 41]
    assert log.sources(good) == ONE
    assert log.sources(41) == {"apps/a.py": "x = 39"}
    wanted = {name for one in log.releases() for name in one.files.values()}
    names = {path.name for path in (log.directory / "blobs").glob("??/*")}
    assert wanted < names
    assert len(names) == len(wanted) + 2  # and their manifests
    assert add(log, TWO).number == 42
    log.close()


def test_a_storm_of_refused_releases_leaves_the_ways_back_alone(log):
    log = again(log, keep=8)
    ran = [add(log, {"apps/a.py": f"x = {n}"}) for n in range(6)]
    trial = add(log, TWO, result="probation")
    for n in range(100):
        add(log, {"apps/a.py": f"x = {n} +"}, result="refused")
    log.compact()
    log = again(log, keep=8)
    assert log.releases()[:7] == [*ran, trial]
    assert [one.result for one in log.releases()[7:]] == ["refused"] * 2
    assert log.sources(ran[0]) == {"apps/a.py": "x = 0"}
    log.close()


def test_a_clean_up_that_finds_no_room_takes_nothing_back(log, monkeypatch):
    """The record stands already: who added it must not be told that it does not."""
    log = again(log, keep=1)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(records, "write_durably", full)
    added = [add(log, {"apps/a.py": f"x = {n}"}) for n in range(30)]
    assert any("could not be cleaned up" in problem for problem in log.problems)
    monkeypatch.undo()
    log = again(log, keep=1)
    assert log.last_good() == added[-1]
    log.close()


def test_a_new_file_whose_folder_could_not_be_synced_is_the_one_written_to(log, monkeypatch):
    first = add(log, ONE)

    def broken(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(blobs, "sync_directory", broken)
    with pytest.raises(OSError, match="Input/output"):
        log.compact()
    monkeypatch.undo()
    second = add(log, TWO)
    log = again(log)
    assert log.releases() == [first, second]
    log.close()


def test_a_full_disk_is_not_filled_with_halves(log, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        add(log, ONE)
    monkeypatch.undo()
    assert [path for path in (log.directory / "blobs").glob("??/*") if path.suffix == ".new"] == []


def test_booting_needs_no_room_on_the_disk(log, monkeypatch):
    add(log, ONE)
    trial = add(log, TWO, result="probation")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    assert log.boot_sources() == ONE
    assert log.find(trial).result == "rolled_back"
    assert any("cannot be written" in problem for problem in log.problems)
    monkeypatch.undo()


def test_a_number_is_never_used_again(log):
    log = again(log, keep=1)
    for n in range(20):
        add(log, {"apps/a.py": f"x = {n}"}, result="refused")
    log.compact()
    log = again(log, keep=1)
    assert add(log, ONE).number == 21
    log.close()


def test_operations_and_nonces_survive(log):
    log.note_operation("uid 0 (pid 7)", "push", "0123", "ok")
    log.note_operation("alice", "list", "", "refused (no): not today", durable=False)
    assert log.use_nonce("a" * 32)
    assert not log.use_nonce("a" * 32)
    for _ in range(2):
        log = again(log)
        assert [(one.who, one.operation, one.verdict) for one in log.operations()] == [
            ("uid 0 (pid 7)", "push", "ok"),
            ("alice", "list", "refused (no): not today"),
        ]
        assert not log.use_nonce("a" * 32)
        log.compact()
    assert log.use_nonce("b" * 32)
    log.close()


def test_operations_are_bounded(log):
    for n in range(6000):
        log.note_operation("alice", "list", str(n), "ok", durable=False)
    assert (log.directory / "releases.log").read_bytes().count(b"\n") < 5000
    log = again(log)
    assert [one.what for one in log.operations(3)] == ["5997", "5998", "5999"]
    assert len(log.operations(10**6)) == 1000
    log.close()


def test_a_full_disk_leaves_the_log_as_it_was(log, monkeypatch):
    first = add(log, ONE)
    real, size = os.write, (log.directory / "releases.log").stat().st_size
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:20]))
    with pytest.raises(OSError, match="could be written"):
        add(log, TWO)
    monkeypatch.undo()
    assert (log.directory / "releases.log").stat().st_size == size
    assert log.releases() == [first]
    second = add(log, TWO)
    log = again(log)
    assert log.problems == []
    assert [one.id for one in log.releases()] == [first.id, second.id]
    log.close()


def test_several_threads_by_turns(log):
    def work(n):
        for k in range(10):
            add(log, {"apps/a.py": f"x = {n}, {k}"})
            log.note_operation("alice", "push", "", "ok", durable=False)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = again(log)
    assert found.problems == []
    assert [one.number for one in found.releases()] == list(range(1, 41))
    for one in found.releases():
        assert set(found.sources(one)) == {"apps/a.py"}
    found.close()


def test_blobs_refuse_names_that_are_none(tmp_path):
    blobs = Blobs(tmp_path)
    for name in ("", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"):
        with pytest.raises(ValueError, match="is not the name of a blob"):
            blobs.path(name)


WRITER = """
import sys
from pathlib import Path
from runtime.code.release_log import ReleaseLog
log = ReleaseLog.open(Path(sys.argv[1]), keep=20)
if log.problems:
    print("problems", log.problems, flush=True)
n = int(sys.argv[2])
while True:
    n += 1
    text = f"x = {n}\\n" + "# filling\\n" * (n % 50)
    release = log.add(kind="push", files={"apps/a.py": text, f"apps/m{n % 7}.py": text}, note=str(n))
    print("added", release.number, n, flush=True)
    if n % 3 == 0:
        log.judge(release, "bad", "as told")
        print("judged", release.number, n, flush=True)
    if n % 5 == 0:
        log.note_operation("alice", "push", str(n), "ok")
    if n % 11 == 0:
        log.compact()
"""


@pytest.mark.slow
def test_kill_minus_9_loses_nothing_that_was_said(tmp_path):
    """A writer is killed at random moments; whatever it had said is there, whole, and no problem is named but a torn tail."""
    directory = tmp_path / "code"
    chance = random.Random(7)
    said: dict[int, str] = {}
    judged: set[int] = set()
    n = 0
    for _ in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(directory), str(n)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        lines = []
        for _ in range(chance.randrange(1, 60)):
            lines.append(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.readlines()
        writer.stdout.close()
        writer.wait(30)
        for line in lines:
            word, _, rest = line.partition(" ")
            if word == "problems":
                assert "was cut off" in rest
                assert rest.count("releases.log") == 1
            elif line.endswith("\n"):
                number, note = rest.split()
                if word == "added":
                    assert int(number) not in said
                    said[int(number)] = note
                else:
                    judged.add(int(number))
        log = ReleaseLog.open(directory, keep=20)
        assert all("was cut off" in problem for problem in log.problems)
        kept = {one.number: one for one in log.releases()}
        assert set(sorted(said)[-15:]) <= set(kept)
        for number, one in kept.items():
            assert said.get(number, one.note) == one.note
            text = log.sources(one)["apps/a.py"]
            assert text.startswith(f"x = {one.note}\n")
            if number in judged:
                assert one.result == "bad"
        n = max(int(one.note) for one in kept.values())
        log.close()
    assert len(said) > 50
    assert not list(directory.glob("*.new"))


@pytest.mark.parametrize("bits", [0o720, 0o702, 0o777])
@pytest.mark.parametrize("which", ["code", "."])
def test_a_directory_that_others_may_write_is_not_used(tmp_path, bits, which):
    """Who may put a release there decides what the node runs."""
    data = tmp_path / "data"
    ReleaseLog.open(data / "code").close()
    (data / which).chmod(bits)
    with pytest.raises(PermissionError, match="chmod go-w"):
        ReleaseLog.open(data / "code")
    (data / which).chmod(0o750)
    ReleaseLog.open(data / "code").close()
