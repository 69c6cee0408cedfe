"""Back over several releases: states go along also where the release that is left knows no way."""

from __future__ import annotations

import pytest

from runtime import code
from runtime.kernel import call
from runtime.otp.gen_server import stop
from tests.code.served import Place, serving

ONE = """
from runtime.otp.gen_server import GenServer
__vsn__ = 1
class Counter(GenServer):
    def init(self): self.n = 1
    def handle_call(self, request, sender): return self.n
"""
TWO = """
from runtime.otp.gen_server import GenServer
__vsn__ = 2
class Counter(GenServer):
    def init(self): self.m = 100
    def handle_call(self, request, sender): return self.m
"""
CODE_CHANGE = """
    def code_change(self, old, extra):
        if isinstance(old, tuple): self.n = self.m // 100; del self.m
        else: self.m = self.n * 100; del self.n
"""


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path)
    place.open()
    yield place
    place.close()


@pytest.mark.parametrize("first", [ONE, ONE.replace("__vsn__ = 1\n", "")], ids=["version", "no version"])
def test_a_release_that_has_dropped_code_change_is_left_by_the_one_before(place, first):
    module = place.load(m=first)
    counter = module.Counter.start_link()
    with serving(place):
        start = code.current()
        code.push(place.sources(m=TWO + CODE_CHANGE))
        code.push(place.sources(m=TWO))
        code.push(place.sources(m=TWO + "X = 1\n"))
        assert call(counter, "n") == 100
        back = code.rollback(start.id)
        assert (back.id, back.migrated) == (start.id, 1)
        assert call(counter, "n") == 1
        assert vars(counter.behaviour) == {"n": 1}
    stop(counter)


def test_a_release_that_is_newer_in_form_is_gone_back_to_by_its_own_code_change(place):
    """What lies between went down by itself, so the way back is a way up."""
    module = place.load(m=TWO + CODE_CHANGE)
    counter = module.Counter.start_link()
    with serving(place):
        start = code.current()
        assert code.push(place.sources(m=ONE)).migrated == 1
        assert code.push(place.sources(m=ONE + "X = 1\n")).migrated == 0
        assert call(counter, "n") == 1
        back = code.rollback(start.id)
        assert (back.id, back.migrated) == (start.id, 1)
        assert vars(counter.behaviour) == {"m": 100}
    stop(counter)


def test_what_was_dropped_is_forgotten_with_its_form(place):
    module = place.load(m=TWO + CODE_CHANGE)
    counter = module.Counter.start_link()
    with serving(place) as server:
        engine = server.behaviour.releaser.engine
        code.push(place.sources(m=TWO))
        assert len(engine.former) == 1
        release = code.push(place.sources(m=TWO.replace("= 2", "= 3")))  # the same form by another name
        assert release.notes == (
            f"note: a process keeps its state although __vsn__ of {module.__name__} changes: no class of theirs has a code_change",
        )
        assert engine.former == {}
        code.push(place.sources(m=TWO.replace("= 2", "= 3") + CODE_CHANGE))
        code.push(place.sources(m="X = 1\n__vsn__ = 3\n"))
        assert engine.former == {}
    stop(counter)
