"""The writer process by itself, over its socket: group commit, numbering, what it does when the node is gone."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import closing, contextmanager

import lmdb
import pytest

from runtime.store import ABSENT, ANY, Conflict, Fenced, layout
from runtime.store.committer import Committer
from runtime.store.environment import Environment
from runtime.store.wire import (
    Frames,
    Opened,
    Pipeline,
    Refused,
    Settings,
    decode,
    encode_frame,
    error_from_wire,
)


class RawWriter:
    """A writer process and our end of its socket."""

    def __init__(self, path, session="session", migrations=(), lock_timeout=5.0):
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(10)
        with theirs:
            command = [sys.executable, "-m", "runtime.store.writer", str(theirs.fileno()), str(os.getpid())]
            self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        self.frames, self.ready = Frames(), []
        settings = Settings(str(path), session, 4, list(migrations), 1 << 20, 0, 0, lock_timeout)
        self.sock.sendall(encode_frame(settings))

    def hello(self):
        return decode(self.read(), type=Opened | Refused)

    def read(self):
        while not self.ready:
            data = self.sock.recv(1 << 20)
            assert data, "the writer has closed"
            self.ready += self.frames.feed(data)
        return self.ready.pop(0)

    def ask(self, *requests, confirmed=0):
        """Send requests as one group; return the answers by number, None for a plain success."""
        self.sock.sendall(encode_frame([confirmed, *requests]))
        last, _full, special = decode(self.read(), type=tuple[int, bool, dict[int, int | list]])
        return {seq: special.get(seq) for seq in range(requests[0][0], last + 1)}

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.sock.close()

    def close(self):
        self.sock.close()
        assert self.process.wait(10) == 0


@contextmanager
def raw_writer(path, **options):
    writer = RawWriter(path, **options)
    try:
        yield writer
    finally:
        writer.sock.close()
        writer.process.kill()
        writer.process.wait()


def put(key, val=b"v", expect=ANY):
    return ["a", key, val, expect]


def test_requests_sent_again_to_the_next_writer_are_answered_and_not_applied_again(tmp_path):
    """The node lost the answers: same session, same numbers, same answers, also for opens and conflicts."""
    requests = [
        [1, 0, None, "me"],
        [2, 0, 1, [put(b"k", b"1", ABSENT)]],
        [3, 0, 1, [put(b"k", b"2", ABSENT)]],
        [4, 0, 7, [put(b"k", b"3")]],
        [5, 0, 1, [["a", b"k", ANY]]],
        [6, 0, 1, [put(b"k", b"4", ABSENT)]],
        [7, 0, None, "other"],
    ]
    with raw_writer(tmp_path) as writer:
        assert writer.hello().last == 0
        first = writer.ask(*requests)
        writer.kill()
    with raw_writer(tmp_path) as writer:
        opened = writer.hello()
        assert (opened.base, opened.last) == (0, 7)
        again = writer.ask(*requests, [8, 0, 2, [put(b"new")]])
        assert again == first | {8: None}
        assert [first[seq] for seq in (1, 2, 5, 6, 7)] == [1, None, None, None, 2]
        assert isinstance(error_from_wire(first[3]), Conflict)
        assert isinstance(error_from_wire(first[4]), Fenced)
        writer.close()
    with raw_writer(tmp_path, session="another life") as writer:
        assert (writer.hello().base, writer.ask([1, 0, 2, [put(b"k", b"5", 6)]])) == (8, {1: None})


def test_answers_are_kept_only_until_they_are_confirmed(tmp_path):
    with closing(Environment(str(tmp_path), 4, 1, 1 << 20, 0, 0)) as environment:
        committer = Committer(environment, "session")
        committer.commit([[1, 0, None, "me"], [2, 0, 9, []], [3, 0, 9, []]], 0)
        assert set(committer.answers) == {1, 2, 3}
        committer.commit([[4, 0, 9, []]], 2)
        assert set(Committer(environment, "session").answers) == {3, 4}


def test_a_put_and_its_delete_in_one_group_never_reach_the_tree(tmp_path):
    with closing(Environment(str(tmp_path), 4, 1, 1 << 20, 0, 0)) as environment:
        committer = Committer(environment, "session")
        committer.commit([[1, 0, None, "me"], [2, 0, 1, [put(b"kept", b"old")]]], 0)
        pages = environment.env.info()["last_pgno"]
        group = []
        for seq in range(3, 203, 2):
            group.append([seq, 0, 1, [put(b"%d" % seq, b"x" * 100_000, ABSENT)]])
            group.append([seq + 1, 0, 1, [["a", b"%d" % seq, seq]]])
        group += [[203, 0, 1, [["a", b"kept", 2]]], [204, 0, 1, [put(b"kept", b"new", ABSENT)]]]
        assert committer.commit(group, 0) == (204, False, {})
        assert environment.env.info()["last_pgno"] <= pages + 8  # 10 MB would be 2,500 pages
        full = layout.record_prefix(0, "a") + b"kept"
        with environment.env.begin() as txn:
            assert layout.unpack(full, txn.get(full)) == (204, b"new")
            assert txn.stat()["entries"] == 4  # schema, session, token, kept


def test_what_arrives_during_a_commit_is_one_group(tmp_path):
    with raw_writer(tmp_path) as writer:
        writer.hello()
        writer.ask([1, 0, None, "me"])
        writer.process.send_signal(signal.SIGSTOP)
        writer.sock.sendall(
            b"".join(encode_frame([1, [seq, 0, 1, [put(b"%d" % seq)]]]) for seq in range(2, 102))
        )
        writer.process.send_signal(signal.SIGCONT)
        last, _, special = decode(writer.read())
        assert (last, special) == (101, {})
        with closing(lmdb.open(str(tmp_path), readonly=True, map_size=0)) as env:
            before = env.info()["last_txnid"]
            writer.ask([102, 0, 1, [put(b"one more")]])
            assert env.info()["last_txnid"] == before + 1


def test_the_writer_commits_nothing_that_it_reads_after_the_node_is_gone(tmp_path):
    with raw_writer(tmp_path) as writer:
        writer.hello()
        writer.ask([1, 0, None, "me"])
        writer.process.send_signal(signal.SIGSTOP)
        writer.sock.sendall(encode_frame([1, [2, 0, 1, [put(b"unanswered")]]]))
        writer.sock.close()
        writer.process.send_signal(signal.SIGCONT)
        assert writer.process.wait(10) == 0
    with raw_writer(tmp_path) as writer:
        assert writer.hello().last == 1


def test_the_writer_dies_with_its_node(tmp_path):
    program = (
        "import socket, subprocess, sys, os, time\n"
        "ours, theirs = socket.socketpair()\n"
        "os.set_inheritable(ours.fileno(), True)\n"  # held open by the writer: only the death signal can end it
        "p = subprocess.Popen([sys.executable, '-m', 'runtime.store.writer', str(theirs.fileno()), str(os.getpid())],"
        " close_fds=False, pass_fds=[theirs.fileno(), ours.fileno()])\n"
        "from runtime.store.wire import *\n"
        f"ours.sendall(encode_frame(Settings({str(tmp_path)!r}, 's', 4, [], 1 << 20, 0, 0, 1.0)))\n"
        "ours.recv(1000)\n"
        "print(p.pid, flush=True)\n"
        "time.sleep(100)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as node:
        writer = os.pidfd_open(int(node.stdout.readline()))
        node.kill()
    try:
        assert select.select([writer], [], [], 10)[0], "the writer outlived its node"
    finally:
        os.close(writer)


def test_the_next_writer_waits_until_the_last_one_is_gone(tmp_path):
    with raw_writer(tmp_path) as first:
        first.hello()
        with raw_writer(tmp_path, lock_timeout=0.0) as refused:
            error = error_from_wire(refused.hello().error)
            assert error.pid == first.process.pid
            assert str(error.pid) in str(error)
        with raw_writer(tmp_path, lock_timeout=10.0) as second:
            assert not select.select([second.sock], [], [], 0.15)[0]
            first.kill()
            assert isinstance(second.hello(), Opened)


def test_the_writer_ignores_the_signals_of_a_terminal_and_of_a_service_manager(tmp_path):
    with raw_writer(tmp_path) as writer:
        writer.hello()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            writer.process.send_signal(number)
        assert writer.ask([1, 0, None, "me"]) == {1: 1}
        writer.close()


def test_frames_in_pieces_and_a_pipeline_that_sends_again():
    pipeline, frames = Pipeline(), Frames()
    for n in range(100):
        pipeline.add(0, 1, [("a", b"%d" % n, b"x" * 50_000, ANY)], f"who{n}", n)
    seen = []
    while data := pipeline.take():
        assert len(data) < 1_200_000
        for at in range(0, len(data), 60_001):
            for frame in frames.feed(data[at : at + 60_001]):
                confirmed, *requests = decode(frame)
                assert confirmed == 0
                seen += requests
    assert [request[0] for request in seen] == list(range(1, 101))
    answer = encode_frame((40, True, {7: ["Fenced", 0, 1, 2], 9: 5}))[4:]
    answers = list(pipeline.answers(answer))
    assert [(tag, seq) for _, tag, seq, _ in answers] == [(n, n + 1) for n in range(40)]
    assert {seq: what for _, _, seq, what in answers if what is not None} == {7: ["Fenced", 0, 1, 2], 9: 5}
    assert pipeline.full
    pipeline.add(0, 1, [], "who", "last")
    pipeline.resend()
    confirmed, *requests = decode(frames.feed(pipeline.take())[0])
    assert confirmed == 40
    assert requests[0][0] == 41


@pytest.mark.parametrize("damage", ["val", "version", "key", "short"])
def test_the_checksum_covers_value_version_and_place(damage):
    key = layout.record_prefix(3, "a") + b"k"
    raw = layout.pack(key, 7, b"value")
    assert layout.unpack(key, raw) == (7, b"value")
    match damage:
        case "val":
            raw = raw[:-1] + b"X"
        case "version":
            raw = raw[:11] + b"\x08" + raw[12:]
        case "key":
            key = layout.record_prefix(4, "a") + b"k"
        case "short":
            raw = raw[:11]
    with pytest.raises(layout.Damaged):
        layout.unpack(key, raw)


def test_the_longest_key_fits_into_the_tree(tmp_path):
    with closing(Environment(str(tmp_path), 4, 1, 1 << 20, 0, 0)) as environment:
        longest = layout.record_prefix(65_535, "k" * 32) + b"\xff" * 400
        assert len(longest) <= environment.env.max_key_size()
