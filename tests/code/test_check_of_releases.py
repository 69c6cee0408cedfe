"""The check aside as a part of a release: where self-checks run, and which files count in push mode."""

from __future__ import annotations

import pytest

from runtime import code
from runtime.code.releaser import Releaser
from tests.code.served import Place, serving

WAITS = """
from runtime.kernel import Call, call, receive, reply, spawn

X = {value}

def __selfcheck__():
    assert call(spawn(lambda: reply(receive(), X)), None) < 10, "X is too big"
"""
COUNTS = "RUNS = []\nX = {value}\n\ndef __selfcheck__():\n    RUNS.append(X)\n    assert X < 10\n"


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path)
    place.open()
    yield place
    place.close()


def test_a_selfcheck_that_waits_runs_aside_and_not_in_the_step(place):
    module = place.load(m=WAITS.format(value=1))
    with serving(place, check=True):
        code.push(place.sources(m=WAITS.format(value=2)))
        assert module.X == 2
        with pytest.raises(code.Refused) as refused:
            code.push(place.sources(m=WAITS.format(value=20)))
        assert refused.value.kind == "selfcheck"
        assert "X is too big" in str(refused.value)
        assert module.X == 2


def test_without_a_check_aside_selfchecks_run_in_the_step(place):
    module = place.load(m=COUNTS.format(value=1))
    with serving(place, check=True):
        code.push(place.sources(m=COUNTS.format(value=2)))
        assert module.RUNS == []
        code.push(place.sources(m=COUNTS.format(value=3)), check=False)
        assert module.RUNS == [3]
        with pytest.raises(code.Refused) as refused:
            code.push(place.sources(m=COUNTS.format(value=30)), check=False)
        assert refused.value.kind == "selfcheck"
        assert module.X == 3


def test_the_way_back_does_not_hang_on_a_selfcheck(place):
    """What ran before may go back, whatever it says of itself now."""
    module = place.load(m="X = 1\n\ndef __selfcheck__():\n    raise ValueError('moody')\n")
    with serving(place, check=True):
        code.push(place.sources(m="X = 2\n"))
        code.rollback()
        assert module.X == 1


@pytest.mark.parametrize("in_release", [True, False])
def test_in_push_mode_the_check_sees_the_release_and_not_the_tree(place, in_release):
    place.write(m="X = 1\n", extra="Y = 1\n")
    if not in_release:
        (place.base / place.path("extra")).rename(place.base / "aside")
    place.releaser = Releaser(place.engine, place.log, from_log=True)
    place.releaser.begin()  # the first start: a release of what lies there
    module = place.load(m="X = 1\n")
    place.write(extra="raise ValueError('the tree has gone on')\n")
    wanted = place.sources(m=f"from {place.package}.extra import Y\nX = 2\n")
    with serving(place, check=True):
        if in_release:
            code.push(wanted)
            assert (module.X, module.Y) == (2, 1)
        else:
            with pytest.raises(code.Refused) as refused:
                code.push(wanted)
            assert "in this release" in str(refused.value)
