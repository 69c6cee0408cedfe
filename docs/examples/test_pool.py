# test_pool.py
import pytest
from pool import Pool, Words

from runtime import KILL, CallError, Crash, exit, stop, which_children
from runtime.testing import settle


def test_a_bad_job_fails_for_the_one_who_asked_and_nobody_else() -> None:
    top = Words.start_link(2)
    with pytest.raises(CallError) as caught:
        Pool.count("pool", "")
    assert isinstance(caught.value.reason, Crash)
    assert Pool.count("pool", "still there") == 2
    stop(top)


def test_a_killed_worker_is_replaced() -> None:
    top = Words.start_link(2)
    settle()
    before = {child.pid for child in which_children("workers")}
    exit(min(before), KILL)
    settle()
    after = {child.pid for child in which_children("workers")}
    assert len(after) == 2
    assert after != before
    assert Pool.count("pool", "one two three") == 3
    stop(top)
