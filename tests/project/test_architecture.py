"""The rules of the house, read from the source itself: imports point down, and stay out of others' private names."""

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.plain
ROOT = Path(__file__).resolve().parents[2]

# A package may import what stands in a line below it or in its own line. `domain` and `front` are the chat's rooms.
FLOORS = [
    ["runtime.config", "runtime.certificates"],
    ["runtime.kernel"],
    ["runtime.otp", "runtime.net", "runtime.store"],
    ["runtime.code", "runtime.observe", "runtime.cluster"],
    ["runtime.admin"],
    ["runtime.testing", "runtime.testing_plugin", "runtime.node"],
    ["apps"],
    ["tools"],
]
FRONT_DOORS = ("apps.chat.native", "apps.chat.xmpp", "apps.chat.web", "apps.chat.client")

# Outside runtime/kernel, greenlets are touched here only; each with its reason.
GREENLETS_ALLOWED: dict[str, set[str]] = {
    # The HTTP of the dashboard is gevent.pywsgi; its connections run in processes.
    "runtime/admin/http_server.py": {"gevent.Timeout", "gevent.pywsgi", "gevent.socket"},
}
# A seam is looked for at 500 lines; past this, a module is two.
LONGEST = 800


class Import(NamedTuple):
    file: str
    line: int
    source: str  # the importing module
    target: str  # the module imported, or module.name
    name: str | None  # the name taken out of it


def files(*tops):
    return sorted(p for top in tops for p in (ROOT / top).rglob("*.py") if "__pycache__" not in p.parts)


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(path):
    module = module_of(path)
    return module if path.name == "__init__.py" else module.rpartition(".")[0]


def imports(path):
    source = module_of(path)
    file = str(path.relative_to(ROOT))
    for node in ast.walk(ast.parse(path.read_text(), file)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, source, alias.name, None)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package_of(path).split(".")
                up = up[: len(up) - node.level + 1]
                base = ".".join([*up, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(file, node.lineno, source, resolved(base, alias.name), alias.name)


def resolved(base, name):
    """`from runtime.kernel import clock` imports a module: say which."""
    path = ROOT.joinpath(*base.split("."), name)
    return f"{base}.{name}" if path.with_suffix(".py").exists() or (path / "__init__.py").exists() else base


def under(module, top):
    return module == top or module.startswith(top + ".")


def floor(module):
    if module == "runtime":  # the public names, re-exported: as high as the runtime reaches
        return 3
    if re.match(r"runtime\.node(_\w+)?$", module):
        module = "runtime.node"
    for number, packages in enumerate(FLOORS):
        if any(under(module, package) for package in packages):
            return number
    return None


def room(module):
    """The package that a private name belongs to: runtime.kernel, apps.chat.domain, tools.benchmarks..."""
    parts = module.split(".")
    if parts[0] == "runtime":
        if len(parts) > 1 and parts[1].startswith("node"):
            return "runtime.node"
        return ".".join(parts[:2])
    return ".".join(parts[:3]) if parts[0] == "apps" else ".".join(parts[:2])


OURS = files("runtime", "apps")
ALL = [found for path in OURS for found in imports(path)]


def said(found):
    return f"{found.file}:{found.line}: {found.source} imports {found.target}"


def test_every_module_has_its_floor():
    unknown = [str(path) for path in OURS if floor(module_of(path)) is None]
    assert unknown == []


def test_imports_point_down():
    """ARCHITECTURE rule 1: apps, admin, {code, observe, cluster}, {otp, net, store}, kernel; never up."""
    wrong = []
    for found in ALL:
        above = floor(found.target)
        if above is not None and above > floor(found.source) and room(found.target) != room(found.source):
            wrong.append(said(found))
    assert wrong == []


def test_no_private_names_of_another_package():
    wrong = []
    for found in ALL:
        if floor(found.target) is None or room(found.target) == room(found.source):
            continue
        names = [*found.target.split("."), found.name or ""]
        if any(name.startswith("_") and not name.startswith("__") for name in names):
            wrong.append(f"{said(found)} ({found.name})")
    assert wrong == []


def test_no_private_attributes_of_another_packages_modules():
    wrong = []
    for path in OURS:
        tree = ast.parse(path.read_text())
        here = room(module_of(path))
        modules = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    up = package_of(path).split(".")
                    base = ".".join(
                        [*up[: len(up) - node.level + 1], *([node.module] if node.module else [])]
                    )
                for alias in node.names:
                    target = resolved(base, alias.name)
                    if target != base and floor(target) is not None and room(target) != here:
                        modules[alias.asname or alias.name] = target
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in modules
            ):
                if node.attr.startswith("_") and not node.attr.startswith("__"):
                    wrong.append(
                        f"{path.relative_to(ROOT)}:{node.lineno}: {modules[node.value.id]}.{node.attr}"
                    )
    # `runtime.testing` is the kernel's own instrument.
    assert [w for w in wrong if not w.startswith("runtime/testing.py")] == []


def test_domain_imports_no_front_door():
    wrong = [
        said(f)
        for f in ALL
        if under(f.source, "apps.chat.domain") and any(under(f.target, d) for d in FRONT_DOORS)
    ]
    assert wrong == []


def test_front_doors_do_not_import_each_other():
    wrong = []
    for found in ALL:
        here = [door for door in FRONT_DOORS if under(found.source, door)]
        there = [door for door in FRONT_DOORS if under(found.target, door)]
        # The client speaks the native protocol: its frames, which know no server.
        if here and there and here != there and found.target != "apps.chat.native.frames":
            wrong.append(said(found))
    assert wrong == []


def test_only_the_kernel_touches_greenlets():
    wrong = []
    for found in ALL:
        top = found.target.partition(".")[0]
        if top not in ("gevent", "greenlet") or found.file.startswith("runtime/kernel/"):
            continue
        if f"{found.target}.{found.name}" not in GREENLETS_ALLOWED.get(found.file, ()):
            wrong.append(f"{said(found)} ({found.name})")
    assert wrong == []


def test_nothing_is_monkey_patched():
    wrong = [
        said(f)
        for f in ALL
        if f.target.startswith("gevent.monkey") or (f.target == "gevent" and f.name == "monkey")
    ]
    assert wrong == []


@pytest.mark.parametrize("path", OURS, ids=lambda p: str(p.relative_to(ROOT)))
def test_module_says_what_is_public_and_stays_readable(path):
    """`__all__` in each module, a docstring on top, and a size that one can read."""
    text = path.read_text()
    if path.name not in ("__init__.py", "__main__.py"):
        assert re.search(r"^__all__\b", text, re.MULTILINE), "no __all__"
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "no docstring that says what the module is for"
    assert text.count("\n") <= LONGEST


def test_exceptions_are_still_needed():
    used = {f.file for f in ALL if f.target.partition(".")[0] in ("gevent", "greenlet")}
    assert set(GREENLETS_ALLOWED) <= used
