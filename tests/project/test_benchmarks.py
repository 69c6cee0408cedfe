"""The benchmarks as a program: the form of their rows, what they say, and that each group runs. No speed is asserted."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tools.benchmarks import report
from tools.benchmarks.lab import Lab, ProbeFailed
from tools.benchmarks.model import GROUPS, Case, Constant, Result, Row

pytestmark = pytest.mark.plain
ROOT = Path(__file__).resolve().parents[2]
REQUIRED = ("group", "name", "value", "unit", "better", "peer", "peer_value", "ratio", "target", "met")


def bench(*arguments, timeout=120):
    command = [sys.executable, "-m", "tools.benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)


def row(**changes):
    fields = {
        "group": "kernel", "key": "k", "name": "a row", "unit": "µs", "better": "lower", "what": "what it measures", "target": 2.0,
        "peers": ("other",), "constants": (Constant("BEAM", 1.0, "measured earlier"),),
    }  # fmt: skip
    return Row(**{**fields, **changes})


def result(samples=(1.0, 3.0, 2.0), peer=(8.0, 4.0, 6.0), **changes):
    return Result(row(**changes), list(samples), {"other": list(peer)} if peer else {})


# what becomes of samples


def test_a_row_is_the_median_beside_its_peers_median():
    found = report.to_json(result())
    assert {key: found[key] for key in REQUIRED} == {
        "group": "kernel", "name": "a row", "value": 2.0, "unit": "µs", "better": "lower", "peer": "other", "peer_value": 6.0,
        "ratio": 3.0, "target": 2.0, "met": True,
    }  # fmt: skip
    assert found["spread"] == [1.0, 3.0]
    assert [peer["name"] for peer in found["peers"]] == ["other", "BEAM"]


@pytest.mark.parametrize(
    ("better", "target", "met"),
    [("lower", 1.9, False), ("lower", 2.0, True), ("higher", 2.1, False), ("higher", 2.0, True)],
)
def test_met_compares_the_median_in_the_direction_of_the_row(better, target, met):
    assert result(better=better, target=target).met is met
    assert result(better=better, target=None).met is None


def test_the_ratio_says_how_many_times_better_ours_is():
    assert report.to_json(result(better="higher"))["ratio"] == pytest.approx(1 / 3, rel=1e-3)


def test_a_failed_row_stays_and_has_not_met_its_target():
    failed = result(samples=(), peer=())
    failed.error = "it said no"
    found = report.to_json(failed)
    assert (found["value"], found["met"], found["ratio"]) == (None, False, None)
    assert found["peer"] == "BEAM"
    text = report.table([failed], colour=False)
    assert "NOT MET" in text
    assert "it said no" in text


def test_a_failed_peer_costs_its_own_figure_only():
    lab = Lab(Case((row(),), lambda _: None), "smoke", lambda _: None)

    def fail():
        raise ProbeFailed("gone")

    lab.value("k", 1.0)
    assert lab.peer("k", "other", fail) is None
    found = report.to_json(lab.results["k"])
    assert found["value"] == 1.0
    assert found["peers"][0]["error"] == "gone"
    assert found["peer"] == "BEAM"


def test_the_table_shows_spread_peers_and_where_constants_come_from():
    text = report.table([result()], colour=False)
    assert "1 to 3" in text
    assert "other 6 (3x)" in text
    assert "BEAM: measured earlier" in text
    assert "\x1b" not in text
    assert "\x1b[32m" in report.table([result()], colour=True)


def test_markdown_is_one_table():
    lines = report.markdown([result(), result(target=1.0)]).splitlines()
    assert all(line.startswith("|") for line in lines[:4])
    assert "not met" in lines[3]
    assert len({line.count("|") for line in lines[:4]}) == 1


# the catalogue


def test_list_names_every_row_with_what_it_measures():
    done = bench("--list", "--json")
    rows = json.loads(done.stdout)
    assert [group for group in GROUPS if any(r["group"] == group for r in rows)] == list(GROUPS)
    assert all(len(r["what"]) > 5 for r in rows)
    keys = [(r["group"], r["key"]) for r in rows]
    assert len(set(keys)) == len(keys)
    text = bench("--list").stdout
    assert all(r["name"] in text for r in rows)


def test_every_row_that_was_promised_is_there_with_its_target():
    promised = {
        "ping_pong": 0.6, "ping_pong_gevent": 8, "ring": 0.35, "call": 2.0, "call_ratio": 1.2, "spawn": 2.5, "memory": 500,
        "memory_server": 500, "hub": 25, "crash": 10, "echo_added": 2, "idle_plain": 1, "idle_tls": 16, "tls_echo_16": 200_000,
        "appends": 80_000, "appends_busy": 40_000, "one_writer_ratio": 2, "messages": 20_000, "messages_cpu": 45, "p99": 10,
        "idle": 25, "logins": 1000, "stored": 20_000, "drained": 20_000,
        "swap": 10, "swap_stall": 10, "edit_stall": 10, "migrate": 100, "check": 150, "save": 250, "tls_dropped": 0, "tls_lost": 0, "tls_doubled": 0,
    }  # fmt: skip
    rows = {r["key"]: r["target"] for r in json.loads(bench("--list", "--json").stdout)}
    assert {key: rows.get(key) for key in promised} == promised


def test_an_unknown_group_is_refused_with_the_known_ones():
    done = bench("kernl")
    assert done.returncode == 2
    assert "kernel, net, store, chat, code" in done.stderr


# each group runs


@pytest.mark.slow
@pytest.mark.parametrize("key", ["spawn", "idle_plain", "get", "stored", "migrate", "tls_dropped"])
def test_a_case_of_each_group_runs(key):
    """One case of each group, tiny: processes start, speak, and are gone afterwards."""
    done = bench("--smoke", "--json", "--only", key)
    assert done.returncode == 0, done.stderr + done.stdout
    rows = json.loads(done.stdout)
    assert key in [r["key"] for r in rows]
    for found in rows:
        assert set(REQUIRED) <= set(found)
        assert found["value"] is not None
        assert found["error"] is None
        assert all(peer["error"] is None for peer in found["peers"])


@pytest.mark.slow
def test_an_interrupted_run_shows_what_it_has_and_leaves_nothing(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.benchmarks", "--smoke", "--json", "store", "chat"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    seen = process.stderr.readline() + process.stderr.readline()
    assert "[2/" in seen  # the first case is done
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert [r["group"] for r in json.loads(out)][:1] == ["store"]
    assert [pid for pid in children if not _ends(int(pid))] == []


def _ends(pid: int) -> bool:
    """Wait until the process has ended: one that was just being started hears of its parent's end a moment later."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], 30)[0])
    finally:
        os.close(watched)
