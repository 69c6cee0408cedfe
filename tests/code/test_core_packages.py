"""A module that becomes a package of its name, and a package that becomes a module again, also where only the log has them."""

from __future__ import annotations

import importlib
import sys

import pytest

from runtime.code.engine import Engine
from runtime.code.errors import Refused
from runtime.code.roots import Roots

pytestmark = pytest.mark.plain

MODULE = {"turned.py": "LEVEL = 1\ndef low(): return LEVEL\n", "turned_user.py": "import turned\n"}
PACKAGE = {
    "turned.py": None,
    "turned/__init__.py": "from .parts import LEVEL, low\n",
    "turned/parts.py": "LEVEL = 2\ndef low(): return LEVEL\n",
    "turned_user.py": "import turned.parts\nfrom turned import low\n",
}
BACK = {**MODULE, "turned/__init__.py": None, "turned/parts.py": None}


@pytest.fixture(params=["files", "log"])
def engine(request, tmp_path, monkeypatch):
    """An engine with the module loaded; of the `log`, no file lies on the disk."""
    engine = Engine(Roots(tmp_path))
    engine.install(MODULE if request.param == "log" else None)
    if request.param == "files":
        for path, text in MODULE.items():
            (tmp_path / path).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("turned_user")
    yield engine
    engine.uninstall()
    for name in ("turned_user", "turned", "turned.parts"):
        sys.modules.pop(name, None)


def attributes(module):
    return {
        n: v
        for n, v in vars(module).items()
        if n.startswith("__") and n not in ("__builtins__", "__loader__", "__spec__")
    }


def test_a_module_becomes_a_package_and_a_module_again(engine):
    turned, user, low = sys.modules["turned"], sys.modules["turned_user"], sys.modules["turned"].low
    was = attributes(turned)
    engine.push(PACKAGE)
    assert sys.modules["turned"] is turned and turned.low() == user.low() == low() == 2
    assert turned.parts is sys.modules["turned.parts"] and turned.__package__ == "turned"
    assert turned.__file__.endswith("turned/__init__.py") and turned.__path__ == [
        turned.__file__.removesuffix("/__init__.py")
    ]
    assert (
        turned.__spec__.submodule_search_locations == turned.__path__
        and turned.__spec__.origin == turned.__file__
    )
    engine.push(BACK, direction="down")
    assert attributes(turned) == was and turned.low() == 1 and low() == 1
    assert "turned.parts" not in sys.modules and not hasattr(turned, "parts")
    assert turned.__spec__.submodule_search_locations is None


@pytest.mark.parametrize("fails", ["turned_user.py", "turned/__init__.py", "turned/parts.py"])
def test_a_package_that_fails_leaves_the_module(engine, fails):
    turned = sys.modules["turned"]
    was = attributes(turned)
    with pytest.raises(Refused):
        engine.push({**PACKAGE, fails: PACKAGE[fails] + "1 / 0\n"})
    assert attributes(turned) == was and turned.low() == 1 and "turned.parts" not in sys.modules
    engine.push(PACKAGE)
    assert turned.low() == 2


def test_a_package_does_not_become_a_module_while_parts_of_it_stay(engine):
    engine.push(PACKAGE)
    with pytest.raises(Refused, match=r"turned\.parts") as refused:
        engine.push({"turned.py": MODULE["turned.py"], "turned/__init__.py": None})
    assert refused.value.kind == "deleted" and sys.modules["turned"].low() == 2


def test_a_module_beside_the_package_of_its_name_is_nobodys_and_counts_when_the_package_goes(
    engine, tmp_path
):
    """A cold start imports the package."""
    turned = sys.modules["turned"]
    engine.push({"turned/__init__.py": "LEVEL = 5\n"})
    assert turned.LEVEL == 5 and not hasattr(turned, "low")
    (tmp_path / "turned.py").write_text("LEVEL = 7\n")
    engine.push({"turned.py": "LEVEL = 7\n"})
    assert turned.LEVEL == 5
    engine.push({"turned/__init__.py": "LEVEL = 6\n", "turned.py": "LEVEL = 8\n"})
    assert turned.LEVEL == 6
    (tmp_path / "turned.py").write_text("LEVEL = 8\n")
    engine.push({"turned/__init__.py": None}, direction="down")
    assert turned.LEVEL == 8 and turned.__file__.endswith("turned.py") and not hasattr(turned, "__path__")


def test_a_package_goes_with_all_its_parts(engine, tmp_path):
    engine.push(PACKAGE)
    (tmp_path / "turned.py").unlink(missing_ok=True)
    engine.push({"turned/__init__.py": None, "turned/parts.py": None, "turned_user.py": "USER = 1\n"})
    assert "turned" not in sys.modules and "turned.parts" not in sys.modules
