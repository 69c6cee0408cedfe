"""Probation beyond the changed files: unchanged callers that a release breaks, and what must not be held against it."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from runtime import code, kernel
from runtime.code.jobs import CodeEvent
from runtime.kernel import TIMEOUT, receive_match
from runtime.otp import reprieve
from runtime.testing import settle, until
from tests.code.served import NEVER, Place, serving
from tests.observe.observing import lines_of

TOOL = """
class Tool:
    def use(self, what): return what
"""
RENAMED = TOOL.replace("def use(", "def use_it(")
CALLER = """
from runtime.otp.gen_server import GenServer
from {package}.tool import Tool
class Worker(GenServer):
    def handle_cast(self, request): self.work(request)
    def work(self, request):
        if request == "old": raise AttributeError("no attribute 'old'")
        if request.startswith("on_"): getattr(self, request)
        return Tool().use(request)
"""
OUTER = """
from {package} import caller
class Outer(caller.Worker):
    def work(self, request): raise LookupError("not my day")
"""
OTHER = """
from runtime.otp.gen_server import GenServer
class Worker(GenServer):
    def handle_cast(self, request): raise AttributeError("of its own")
"""
FEW = replace(NEVER, max_crashes=3)


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path)
    place.open()
    reprieve._last = None
    yield place
    place.close()


@pytest.fixture
def caller(place):
    return place.load(tool=TOOL, other=OTHER, caller=CALLER.format(package=place.package))


@pytest.fixture(autouse=True)
def quiet():
    logger = logging.getLogger("evergreen.supervisor")
    before, logger.propagate = logger.propagate, True
    yield
    logger.propagate = before


def crash(module, times, request="work", name="Worker"):
    for _ in range(times):
        kernel.cast(getattr(module, name).start(), request)
        settle()


def rolled_back():
    event = receive_match(lambda m: isinstance(m, CodeEvent) and m.kind == "rolled_back", 10.0)
    assert event is not TIMEOUT, code.status()
    return event


def counted(kind="crash"):
    return code.status().probation["watched"][kind]


def test_a_rename_that_breaks_an_unchanged_caller_goes_back(place, caller, crashes):
    with serving(place, FEW):
        code.subscribe()
        bad = code.push(place.sources(tool=RENAMED))
        crash(caller, 2)
        assert counted()["now"] == 2
        assert counted()["last"].startswith(
            "AttributeError: 'Tool' object has no attribute 'use' in Worker.work ("
        )
        crash(caller, 1)
        event = rolled_back()
        assert "3 crashes in code that uses what was changed, of a new kind, within" in event.text
        assert code.releases()[1].result == "bad"
        assert code.releases()[1].id == bad.id


def test_what_came_with_a_release_that_went_back_is_new_again_with_the_next(place, caller, crashes):
    with serving(place, FEW):
        code.subscribe()
        for more in ("", "\n# tried again\n"):
            code.push(place.sources(tool=RENAMED + more))
            crash(caller, 3)
            rolled_back()


def test_a_failure_of_an_indirect_user_counts_when_it_is_new(place, caller, crashes):
    outer = place.load(outer=OUTER.format(package=place.package))
    with serving(place, FEW):
        code.push(place.sources(tool=TOOL + "# better\nX = 1\n"))
        crash(outer, 2, name="Outer")
        assert counted()["now"] == 2


def test_what_failed_in_this_way_before_does_not_count(place, caller, crashes):
    with serving(place, FEW):
        crash(caller, 1, "old")
        code.push(place.sources(tool=TOOL + "X = 1\n"))
        crash(caller, 5, "old")
        assert counted()["now"] == 0
        assert counted() == {"now": 0, "before": 0, "limit": 3, "last": ""}
        code.push(place.sources(tool=RENAMED))
        crash(caller, 2)  # the same exception at the same place, but it is about another name
        assert counted()["now"] == 2


def test_names_that_a_peer_makes_up_are_no_new_kinds(place, caller, crashes):
    with serving(place, FEW):
        for name in ("hallo", "hello", "salut", "ciao", "hola"):
            crash(caller, 1, f"on_{name}")
        code.push(place.sources(tool=TOOL + "X = 1\n"))
        for name in ("moin", "servus", "ahoi"):
            crash(caller, 1, f"on_{name}")
        assert counted() == {"now": 0, "before": 0, "limit": 3, "last": ""}


def test_what_the_code_server_before_has_seen_is_not_new(place, caller, crashes):
    with serving(place, FEW):
        crash(caller, 1, "old")
    with serving(place, FEW):
        code.push(place.sources(tool=TOOL + "X = 1\n"))
        crash(caller, 5, "old")
        assert counted()["now"] == 0


def test_a_new_crash_of_code_that_has_nothing_to_do_with_it_does_not_count(place, caller, crashes):
    other = __import__("sys").modules[f"{place.package}.other"]
    with serving(place, FEW):
        code.push(place.sources(tool=RENAMED))
        crash(other, 5)
        assert counted()["now"] == 0
        assert code.status().probation is not None


def test_an_error_that_an_unchanged_caller_logs(place, caller):
    text = CALLER.format(package=place.package) + (
        "import logging\n"
        "def tried():\n"
        "    try: Tool().use(1)\n"
        "    except AttributeError: logging.getLogger('shop').exception('no use')\n"
    )
    module = place.load(second=text)
    with serving(place, replace(NEVER, max_errors=2)):
        code.subscribe()
        code.push(place.sources(tool=RENAMED))
        module.tried()
        settle()
        assert (counted("error")["now"], counted("error")["last"]) == (1, "shop: no use")
        module.tried()
        assert (
            "2 errors logged by code that uses what was changed, of a new kind, within" in rolled_back().text
        )


def test_a_release_found_good_in_watch_mode_is_told_when_something_went_wrong(place, caller, crashes):
    with serving(place, FEW), lines_of("evergreen.code") as lines:
        code.push(place.sources(tool=TOOL + "X = 1\n"), kind="watch")
        code.confirm()
        code.push(place.sources(tool=RENAMED), kind="watch")
        crash(caller, 1)
        until(lambda: counted()["now"] == 1)
        good = code.confirm()
    assert [text for level, text in lines if level == "INFO" and "is good" in text] == [
        f"release {good.id} is good: confirmed"
    ]
