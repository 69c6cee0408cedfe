"""What an operator is told, and what must not keep a node from starting."""

from __future__ import annotations

import fcntl
import logging
import os
import resource
import socket
import threading

import pytest

from runtime.kernel import Crash, Shutdown
from runtime.net import Listener, ListenerConfig, ListenError, Protocol, ProtocolNotFound
from runtime.node_errors import explain, sentence
from runtime.node_logging import NodeLog
from runtime.observe.log_handler import LogLimits
from runtime.node_identity import DataDirectory, DirectoryError


def refused(**wrong):
    with pytest.raises((ListenError, ProtocolNotFound)) as caught:
        Listener.start_link(ListenerConfig(**{"name": "t", "protocol": Protocol, **wrong}))
    return caught.value


def test_what_listeners_refuse_is_one_sentence_however_deep_it_lies(capfd):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = refused(port=port)
    text = explain(("failed_to_start", Shutdown(("child", "listener", error))))
    assert text == (
        f"port {port} on 127.0.0.1 is taken by another program: stop that one, or choose another port, in the "
        "configuration or with --set"
    )
    assert "192.0.2.1 is no address of this machine" in explain(refused(host="192.0.2.1"))
    assert "the name is not known here" in explain(refused(host="no.such.host.invalid"))
    assert explain(refused(protocol="runtime.net:Nothing")) == str(refused(protocol="runtime.net:Nothing"))
    assert sentence(Crash(LookupError("a fault of ours"))) == ""
    assert "Traceback" not in capfd.readouterr().err


def test_a_full_disk_does_not_keep_a_node_from_its_directory(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        directory = DataDirectory.hold(tmp_path)
        with pytest.raises(DirectoryError, match=r"node\.json cannot be written"):
            directory.remember(directory.next_identity("me", 1))
        directory.release()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_directory_in_use_names_its_holder(tmp_path):
    holder = os.open(tmp_path / "node.lock", os.O_RDWR | os.O_CREAT)
    os.write(holder, b"4711\n")
    fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        with pytest.raises(DirectoryError, match=r"in use by another node \(pid 4711\)"):
            DataDirectory.hold(tmp_path)
    finally:
        os.close(holder)


def test_what_a_peer_says_cannot_steer_the_terminal_that_shows_it():
    handler = NodeLog(2, "human")
    record = logging.LogRecord("x", logging.INFO, "", 0, "it said %s\nand more", ("\x1b[2J\r\x9b",), None)
    assert handler.format(record).endswith("x: it said \\x1b[2J\\x0d\\x9b\n    and more")


@pytest.mark.plain
def test_a_slow_reader_of_a_nonblocking_pipe_gets_every_line():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    handler = NodeLog(writer, "human", LogLimits(sync=10**5, drop=10**5, flush=10**5, burst=0))
    for _ in range(3000):
        handler.emit(logging.LogRecord("x", logging.INFO, "", 0, "y" * 100, (), None))
    handler.open()

    def end():
        handler.stop()
        os.close(writer)

    ender = threading.Thread(target=end)
    ender.start()
    with os.fdopen(reader, "rb") as lines:
        assert sum(line.endswith(b"y\n") for line in lines) == 3000
    ender.join()
