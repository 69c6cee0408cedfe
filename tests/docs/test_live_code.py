"""The page on live code: its listings are pushed into a running program, and its tables say what there is."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib

import pytest

from runtime import code, kernel
from runtime.code.engine import Engine
from runtime.code.errors import KINDS, Refused
from runtime.code.roots import Roots
from runtime.kernel import call
from tests.docs import listings

PAGE = listings.DOCS / "live-code.md"
OLD, NEW = (block.text for block in listings.blocks(PAGE.read_text()) if block.file == "stock.py")


@pytest.fixture
def engine(tmp_path, monkeypatch):
    (tmp_path / "stock.py").write_text(OLD)
    monkeypatch.syspath_prepend(str(tmp_path))
    engine = Engine(Roots(tmp_path))
    engine.install()
    yield engine
    engine.uninstall()
    sys.modules.pop("stock", None)


@pytest.fixture
def stocks(engine):
    """Started by the test's own process, since a fixture is none."""
    return lambda: [importlib.import_module("stock").Stock.start(["nut", "bolt", "nut"]) for _ in range(3)]


def counts(pids):
    return [call(pid, ("count", "nut")) for pid in pids]


def end(pids):
    for pid in pids:
        kernel.exit(pid, kernel.KILL)


def test_the_states_of_the_example_go_up_and_down(engine, stocks):
    pids = stocks()
    report = engine.push({"stock.py": NEW})
    assert report.migrated == 3
    assert call(pids[0], ("add", "nut")) == "ok"
    assert counts(pids) == [3, 2, 2]
    assert not hasattr(pids[0].behaviour, "items")

    report = engine.push({"stock.py": OLD}, direction="down")
    assert report.migrated == 3
    assert sorted(pids[0].behaviour.items) == ["bolt", "nut", "nut", "nut"]
    assert counts(pids) == [3, 2, 2]
    end(pids)


def test_a_code_change_that_raises_changes_nothing(engine, stocks):
    pids = stocks()
    call(pids[2], ("add", 5))  # what the faulty one does not expect
    faulty = NEW.replace("Counter(self.items)", "Counter(name.lower() for name in self.items)")
    with pytest.raises(Refused) as caught:
        engine.push({"stock.py": faulty})
    assert caught.value.kind == "code_change"
    assert counts(pids) == [2, 2, 2]
    assert pids[0].behaviour.items == ["nut", "bolt", "nut"]
    end(pids)


def test_every_kind_of_refusal_is_in_the_table():
    rows = listings.tables(PAGE.read_text())
    said = {listings.code(row.cells[0])[0] for row in rows if row.heading.startswith("What is refused")}
    assert said == KINDS


def test_settings_and_options_on_the_page_exist():
    page = PAGE.read_text()
    known = tomllib.loads((listings.ROOT / "etc/node.toml").read_text())
    functions = {"code_change", *(f"code.{name}" for name in code.__all__)}
    for section, key in set(re.findall(r"`(code|admin)\.(\w+)`", page)):
        assert key in known[section] or f"{section}.{key}" in functions, f"{section}.{key}"
    for name in set(re.findall(r"\bcode\.(\w+)\(", page)):
        assert name in code.__all__, name
    said = "".join(
        subprocess.run(
            [sys.executable, "-m", module, "--help"], cwd=listings.ROOT, capture_output=True, text=True, check=True,
        ).stdout
        for module in ("runtime.admin.push_command", "runtime.node")
    )  # fmt: skip
    for option in set(re.findall(r"(--[a-z][a-z-]+)", re.sub(r"tools/chat.*", "", page))):
        assert option in said, option


BEFORE = """
import dataclasses

RATE = 2
LIMIT = RATE * 10
TABLE = {"a": 1}
CACHE = object()
SESSIONS = {"anna": 1}
STARTED = []
__reload_keep__ = {"SESSIONS"}
__reload_reset__ = {"STARTED"}


class Pool:
    def __init__(self, size):
        self.size = size


POOL = Pool(LIMIT)


def cost(n):
    return n * RATE


def greet(name):
    return "hi " + name


@dataclasses.dataclass
class Point:
    x: int


class Plain:
    def __init__(self):
        self.x = 1

    def __reload__(self, old_version):
        pass


class Silent:
    def __init__(self):
        self.x = 1
"""
AFTER = (
    BEFORE.replace("RATE = 2", "RATE = 3")
    .replace('{"a": 1}', '{"a": 1, "b": 2}')
    .replace('{"anna": 1}', "{}")
    .replace("return n * RATE", "return n * RATE + 1")
    .replace("def greet(name):", 'def greet(name, mark="!"):')
    .replace('"hi " + name', '"hi " + name + mark')
    .replace("    x: int\n", "    x: int\n    y: list = dataclasses.field(default_factory=list)\n")
    .replace("self.x = 1", "self.x = self.y = 1")
    .replace("        pass\n", '        self.y = ("was", old_version)\n')
)


def test_what_the_page_says_happens_in_place_does(engine, tmp_path):
    (tmp_path / "stock.py").write_text(BEFORE)
    (tmp_path / "user.py").write_text("from stock import LIMIT, TABLE, cost, greet\nDOUBLE = 2 * LIMIT\n")
    stock, user = importlib.import_module("stock"), importlib.import_module("user")
    cache, table, pool, sessions, started = (
        stock.CACHE,
        stock.TABLE,
        stock.POOL,
        stock.SESSIONS,
        stock.STARTED,
    )
    cost, greet, point, plain, silent = stock.cost, stock.greet, stock.Point(1), stock.Plain(), stock.Silent()
    started.append("now")
    report = engine.push({"stock.py": AFTER})
    assert cost(1) == 4  # its body, whoever holds it
    assert greet("Anna") == "hi Anna!"  # its parameters
    assert point.y == []  # a dataclass's field, in an instance that lives
    assert plain.y == ("was", None)  # __reload__
    assert not hasattr(silent, "y")  # and no other gets an attribute
    assert (stock.LIMIT, user.LIMIT, user.DOUBLE) == (30, 30, 60)  # what is derived, here and there
    assert stock.TABLE is table is user.TABLE
    assert table == {"a": 1, "b": 2}
    assert stock.CACHE is cache  # untouched statements do not run
    assert stock.POOL is pool  # nor what may have effects
    assert [kept.name for kept in report.kept] == ["POOL"]
    assert stock.SESSIONS is sessions == {"anna": 1}
    assert stock.STARTED == []
    sys.modules.pop("user")
