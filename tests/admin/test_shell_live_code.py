"""The shell's commands for live code, on a node with a tree of its own: push, releases, diff, rollback, confirm, lingering."""

from __future__ import annotations

import pytest

from tests.admin.test_shell_socket import attached
from tests.upgrade.site import Site

pytestmark = [pytest.mark.plain, pytest.mark.slow]

PATH = "apps/chat/domain/counters.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("live")) as made:
        yield made


def test_a_tree_is_pushed_looked_at_and_taken_back(site):
    file = site.directory / PATH
    before = file.read_text()
    jokes = "__import__('apps.chat.domain.counters', fromlist=['x']).Counters.jokes"
    with attached(site.node) as shell:
        assert "nothing differs" in shell.text("push()")
        assert "nothing differs" in shell.text("push('apps/probe')")
        first = shell.value("releases()")[0]
        assert first["is_current"]

        file.write_text(before.replace("    pins = 0\n", "    pins = 0\n    jokes = 7\n", 1))
        assert "nothing differs" in shell.text("push('apps/probe')"), "only what lies there"
        told = shell.value("push(note='laughter')")
        assert (told["note"], told["result"]) == ("laughter", "good")
        assert told["by"].startswith("uid ")
        assert shell.value(jokes) == 7
        newest, older = shell.value("releases()")[:2]
        assert (newest["number"], newest["is_current"], older["is_current"]) == (told["number"], True, False)
        assert "+    jokes = 7" in shell.text(f"diff({older['number']})")
        assert "same files" in shell.text(f"diff({newest['number']})")
        assert "diff" not in shell.do("diff(999)")["text"].splitlines()[0][:4]
        assert "Traceback" not in shell.text("diff(999)")

        back = shell.value("rollback(why='not funny')")
        assert back["result"] == "good"
        assert shell.do(jokes)["error"] == "AttributeError"
        again = "__import__('runtime.code').code"
        assert shell.value(f"{again}.rollback({told['number']}, force=True).by") == told["by"], (
            "the same user"
        )
        assert shell.value(f"{again}.rollback({back['number']}, force=True).by") == told["by"]
        push = f"{again}.push({{'{PATH}': {before + chr(10) + 'smiles = 1' + chr(10)!r}}}).by"
        assert shell.value(push) == told["by"]
        back = shell.value("rollback()")
        assert "Traceback" not in shell.text("rollback(999)")
        assert shell.do("lingering()")["note"] == "nobody runs old code"
        assert shell.value("confirm()")["number"] == back["number"], "without a probation nothing happens"
        file.write_text(before)


@pytest.mark.parametrize("text", [b"def f(:\n", b"1 / 0\n", b"\xff\xfe\x00"])
def test_a_tree_that_cannot_go_live_is_refused_in_a_sentence(site, text):
    file = site.directory / PATH
    before = file.read_bytes()
    file.write_bytes(before + text)
    try:
        with attached(site.node) as shell:
            running = shell.value("releases()")
            answer = shell.do("push()")
            assert (answer["kind"], answer["error"]) == ("error", "CannotDo"), answer["text"]
            assert "counters" in answer["text"]
            after = next(row for row in shell.value("releases()") if row["is_current"])
            assert after == next(row for row in running if row["is_current"])
    finally:
        file.write_bytes(before)
