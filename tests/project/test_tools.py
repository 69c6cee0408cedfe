"""The commands in tools/: each sets itself up, says what is missing in a sentence, and passes arguments on."""

import configparser
import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.plain
TOOLS = ("run", "test", "check", "bench", "chat", "push", "shell")


def setup_module_at(root):
    spec = importlib.util.spec_from_file_location("tool_setup", root / "tools" / "_setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(tmp_path):
    """A repository with nothing but the tools and empty lock files: a set-up of it needs no network."""
    shutil.copytree(
        ROOT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__", "benchmarks")
    )
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "requirements.lock").write_text("# nothing\n")
    (tmp_path / "etc" / "requirements-dev.lock").write_text("# nothing\n")
    return tmp_path


def run(root, tool, *arguments, **environment):
    command = [sys.executable, str(root / "tools" / tool), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment}
    )


def test_every_tool_is_executable_and_thin():
    for name in TOOLS:
        path = ROOT / "tools" / name
        assert os.access(path, os.X_OK), name
        assert path.read_text().startswith("#!/usr/bin/env python3\n")
        assert path.read_text().count("\n") < 60
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_head_of_run_names_the_options_of_a_node():
    told = subprocess.run(
        [sys.executable, "-m", "runtime.node", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    options = set(re.findall(r"--[a-z][a-z-]*", told.stdout)) - {"--help"}
    assert {"--release", "--releases", "--force"} <= options
    head = (ROOT / "tools" / "run").read_text().split('"""')[1]
    assert options == set(re.findall(r"--[a-z][a-z-]*", head))


@pytest.mark.slow
def test_first_set_up_says_what_it_does_and_the_second_start_does_nothing(copy):
    (copy / "module.py").write_text(
        "import os, sys; print(sys.prefix, os.environ['EVERGREEN_CWD'] != '', sys.argv[1:])"
    )
    (copy / "tools" / "own").write_text(
        "from _setup import main\nimport sys\nmain('module', sys.argv[1:], paths=True)\n"
    )
    first = run(copy, "own", "a", "--b")
    assert first.returncode == 0, first.stderr
    assert first.stdout == f"{copy / '.venv'} True ['a', '--b']\n"
    assert "first set-up: making .venv with Python " in first.stderr
    assert "ready after " in first.stderr
    second = run(copy, "own")
    assert second.returncode == 0
    assert second.stderr == ""
    # A changed lock file is noticed; the environment is kept.
    (copy / "etc" / "requirements.lock").write_text("# something else\n")
    third = run(copy, "own")
    assert "making .venv" not in third.stderr
    assert "installing 0 packages" in third.stderr
    assert run(copy, "own").stderr == ""


@pytest.mark.slow
def test_two_set_ups_at_once_become_one(copy):
    (copy / "module.py").write_text("print('here')")
    (copy / "tools" / "own").write_text("from _setup import main\nmain('module', [])\n")
    with (copy / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [sys.executable, str(copy / "tools" / "own")]
        pair = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "ab"
        ]
        for process in pair:
            assert "waiting for it" in process.stderr.readline()
    said = [process.communicate(timeout=60) for process in pair]
    assert [out for out, _ in said] == ["here\n", "here\n"]
    assert sum("making .venv" in err for _, err in said) == 1


@pytest.mark.slow
def test_unreachable_network_is_one_sentence_and_the_next_start_goes_on(copy):
    (copy / "etc" / "requirements.lock").write_text("evergreen-no-such-package==1.0\n")
    (copy / "tools" / "own").write_text("from _setup import main\nmain('module', [])\n")
    blocked = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
    }
    blocked |= {"PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": ""}
    failed = run(copy, "own", **blocked)
    assert failed.returncode == 1
    assert "the package index cannot be reached" in failed.stderr
    assert "Traceback" not in failed.stderr
    (copy / "etc" / "requirements.lock").write_text("# nothing\n")
    (copy / "module.py").write_text("print('here')")
    assert run(copy, "own").stdout == "here\n"


def test_paths_mean_what_they_mean_where_the_user_stands(tmp_path, monkeypatch):
    (tmp_path / "my.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    absolute = setup_module_at(ROOT).absolute
    own = tmp_path / "my.toml"
    assert [absolute(a) for a in ("my.toml", "--config=my.toml", "my.toml::test", "--other", "word")] == [
        str(own),
        f"--config={own}",
        f"{own}::test",
        "--other",
        "word",
    ]


def test_python_that_is_too_old_is_said_in_a_sentence(tmp_path, monkeypatch):
    module = setup_module_at(ROOT)
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho AssertionError >&2\nexit 1\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module.sys, "_base_executable", str(old))
    with pytest.raises(module.SetupError, match=r"needs Python 3.11 or newer .*python3 is older than 3\.11"):
        module.find_python()


def test_python_without_venv_is_said_with_the_remedy(tmp_path, monkeypatch):
    module = setup_module_at(ROOT)
    bare = tmp_path / "python3"
    bare.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'ensurepip'\" >&2\nexit 1\n")
    bare.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module.sys, "_base_executable", str(bare))
    with pytest.raises(module.SetupError, match="apt install python3-venv"):
        module.find_python()


def test_newer_python_is_found_when_the_first_is_old(tmp_path, monkeypatch):
    module = setup_module_at(ROOT)
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho AssertionError >&2\nexit 1\n")
    old.chmod(0o755)
    (tmp_path / "python3.12").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module.sys, "_base_executable", str(old))
    assert module.find_python()[0] == str(tmp_path / "python3.12")


def test_lock_files_hold_exactly_what_setup_cfg_pins():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = [line for name in ("requirements", "requirements-dev") for line in locked(name)]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._]+", line) for line in lines)
    names = [line.partition("==")[0].lower() for line in lines]
    assert len(names) == len(set(names)), "a package stands in both files"
    run_lines = set(locked("requirements"))
    assert set(pins(config["options"]["install_requires"])) <= run_lines
    extras = config["options.extras_require"]
    for extra in ("test", "dev", "bench"):
        assert set(pins(extras[extra])) <= set(lines), extra


def pins(text):
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def locked(name):
    return pins((ROOT / "etc" / f"{name}.lock").read_text())


def test_readme_names_every_dependency():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    readme = (ROOT / "README.md").read_text()
    for line in pins(config["options"]["install_requires"]):
        assert f"| {line.partition('==')[0]} " in readme, line
