"""Releases and the thread pool: none of its jobs sees two versions, and none of them can keep a release out for long."""

from __future__ import annotations

import threading

import pytest

from runtime import code, kernel
from runtime.testing import until
from tests.code.served import Place, serving


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path)
    place.open()
    yield place
    place.close()


def test_a_release_finds_its_moment_where_some_job_always_has_a_thread(place):
    module = place.load(m="X = 1\n")
    busy = True

    def chain():
        while busy:
            kernel.blocking(threading.Event().wait, 0.02)

    chains = [kernel.spawn(chain) for _ in range(4)]
    until(lambda: kernel.busy_threads() == 4)
    with serving(place):
        code.push(place.sources(m="X = 2\n"))
    assert module.X == 2
    busy = False
    until(lambda: not any(map(kernel.is_alive, chains)))


def test_a_job_that_does_not_end_is_named_when_a_release_gives_up(place):
    place.engine.quiesce = 0.1
    module = place.load(m="X = 1\n")
    go = threading.Event()

    def long_job():
        go.wait()

    kernel.spawn(kernel.blocking, long_job)
    with serving(place):
        with pytest.raises(
            code.Refused, match=r"(?s)1 job of the thread pool.*long_job, at .*threading\.py"
        ) as refused:
            code.push(place.sources(m="X = 2\n"))
        assert refused.value.kind == "busy"
        go.set()
        code.push(place.sources(m="X = 3\n"))
    assert module.X == 3
