"""Break the implementation in telling places, one at a time, and see that the named test turns red.

    python tests/mutants/run.py [WORD…]      # only mutants whose description has one of the words

Works on a copy of the tree; ends with 1 if any mutant survives. Some minutes for all of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]


def main(words: list[str]) -> int:
    chosen = [m for m in MUTANTS if not words or any(word in m.what for word in words)]
    survived = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        tree = Path(scratch) / "tree"
        for part in ("runtime", "apps", "tests", "tools", "etc"):
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        for part in ("setup.cfg", "pyproject.toml"):
            shutil.copy(ROOT / part, tree)
        for mutant in chosen:
            verdict = try_one(tree, mutant)
            print(f"{verdict:9} {mutant.what}  [{mutant.test.rpartition('::')[2]}]", flush=True)
            if verdict != "red":
                survived.append(mutant)
    print(f"{len(chosen) - len(survived)} of {len(chosen)} mutants turn their test red")
    return 1 if survived or not chosen else 0


def try_one(tree: Path, mutant: Mutant) -> str:
    """Return red, SURVIVED, or STALE when the text to change or the test is not there any more."""
    path = tree / mutant.file
    before = path.read_text()
    if mutant.old not in before:
        return "STALE"
    path.write_text(before.replace(mutant.old, mutant.new))
    try:
        command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", mutant.test]
        run = subprocess.run(
            command,
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
            capture_output=True,
            timeout=120,
            check=False,
        )
        code = run.returncode
    except subprocess.TimeoutExpired:
        code = 1  # it hangs: that is red, too
    finally:
        path.write_text(before)
    return {0: "SURVIVED", 1: "red"}.get(code, "STALE")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
