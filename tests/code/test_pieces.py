"""A module parsed and compiled in pieces is what it is when it is parsed and compiled in one go, and so are its errors."""

from __future__ import annotations

import ast
import random
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import decode_source
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from runtime.code import codes, pieces

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path
    for folder in ("runtime", "apps", "tools", "tests/code", "tests/kernel", "tests/otp")
    for path in (ROOT / folder).rglob("*.py")
)


def nothing() -> None:
    pass


def functions_of(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_flags & 0x1:  # a function, and no body of a class
                yield constant
            yield from functions_of(constant)


def flat(code: CodeType) -> tuple[Any, ...]:
    """All that a code object is made of, also what `==` does not look at."""
    constants = tuple(
        flat(c)
        if isinstance(c, CodeType)
        else (type(c), sorted(map(repr, c)) if type(c) is frozenset else repr(c))
        for c in code.co_consts
    )
    return (
        code.co_name, code.co_qualname, code.co_filename, code.co_firstlineno, code.co_flags, code.co_code, constants,
        code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_linetable, code.co_exceptiontable,
        code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_stacksize,
    )  # fmt: skip


def assert_same(source: str, name: str = "x.py") -> int:
    """Compare; return how many pieces were made."""
    expected = ast.parse(source, name)
    tree = pieces.parse(source, name, nothing)
    assert ast.dump(tree, include_attributes=True) == ast.dump(expected, include_attributes=True)
    whole = compile(source, name, "exec", dont_inherit=True)
    parts = pieces.compile_functions(tree, name, nothing)
    assert Counter(map(repr, map(flat, functions_of(whole)))) == Counter(
        repr(flat(code)) for part in parts for code in functions_of(part)
    )
    assert {codes.flags_of(part) for part in parts} == {codes.flags_of(whole)}
    return len(parts)


def outcome(do: Callable[[], Any]) -> Any:
    try:
        do()
    except (SyntaxError, ValueError) as error:
        place = [
            getattr(error, key, None)
            for key in ("lineno", "offset", "end_lineno", "end_offset", "text", "filename")
        ]
        return type(error), str(error), place
    return None


def in_one_go(source: str) -> None:
    compile(ast.parse(source, "x.py"), "x.py", "exec", dont_inherit=True)


def in_pieces(source: str) -> None:
    pieces.compile_functions(pieces.parse(source, "x.py", nothing), "x.py", nothing)


FILLING = "".join(f"def filling{n}(a, b={n}):\n    return [a for _ in range(b)]\n\n\n" for n in range(60))
MEMBERS = "".join(
    f"    def member{n}(self, a={n}):\n        return super().__init__, a, __name\n\n" for n in range(60)
)

ODD = {
    "nothing": "",
    "only_a_comment": "# nothing\n",
    "no_end_of_line": f"{FILLING}x = 1",
    "text_at_the_margin": f'{FILLING}T = """\nclass A:\n    def f(self):\nelse\n@x\n"""\n{FILLING}',
    "text_in_a_class": f'class A:\n    """Doc.\n\n    def no(self): it is text\nclass B: so is this\n    """\n\n{MEMBERS}{FILLING}',
    "text_that_ends_within_a_text": f"""{FILLING}T = 'a \"\"\" b'\nU = '\"\"\"'\n{FILLING}V = \"\"\"x\ny = 1\n\"\"\"\n""",
    "brackets_at_the_margin": f"{FILLING}T = (\n1,\nfilling1,\nfilling2\n)\n{FILLING}",
    "goes_on": f"{FILLING}if x:\n    pass\nelif y:\n    pass\nelse:\n    pass\ntry:\n    pass\nexcept A:\n    pass\nfinally:\n    pass\n{FILLING}",
    "long_branches": f"if x:\n{MEMBERS}else:\n{MEMBERS}",
    "decorated": f"{FILLING}@a(\n    1,\n)\n@b\n\n# why\n@c\ndef f():\n    pass\n{FILLING}",
    "decorated_class": f"{FILLING}@a(lambda: 1)\n@b\nclass A(B, c=lambda: 2):\n    x: int = 1\n{MEMBERS}\n{FILLING}",
    "backslash": f"{FILLING}x = 1 + \\\n2\nassert x, \\\nfilling1\n{FILLING}",
    "semicolons": f"{FILLING}a = 1; b = lambda: 2; c = lambda: 3\nclass A: x = 1; y = lambda: 2\n{FILLING}class C:\n{MEMBERS}    z = 1;\n",
    "tabs": f"class A:\n{MEMBERS}".replace("    ", "\t") + FILLING,
    "mixed_margins": f"class A:\n  x = 1\n  if x:\n    def f(self):\n      pass\n{MEMBERS.replace('    ', '  ')}{FILLING}",
    "a_margin_within": f"class A:\n        x = 1\n{MEMBERS.replace('    ', '        ')}{FILLING}",
    "a_colon_in_a_header": "class A(B[1:\n        2]):\n    def f(self):\n" + "        x = lambda: 1\n" * 200,
    "comments_within": f"class A:  # why\n\n    # comment\n\n        # deeper\n# margin\n{MEMBERS}# margin\n{MEMBERS}\n{FILLING}",
    "a_class_of_classes": "class A:\n" + "".join(f"    class B{n}(C):\n        def f(self):\n            return super().f(), __x\n" for n in range(90)),
    "asynchronous": f"{FILLING}async def f():\n    async with a as b:\n        await b\n{FILLING}",
    "global_at_the_top": f"{FILLING}global a\ndef a():\n    return a\n{FILLING}",
    "global_in_a_class": f"class A:\n    global f\n{MEMBERS}    def f(self):\n        return f\n\n{FILLING}",
    "future": f'"""Doc."""\nfrom __future__ import annotations\nimport os\n{FILLING}def f(a: os.x) -> b.c:\n    return os.path.join(a)\n',
    "imports_anywhere": f"def first():\n    return sys.exit(a.b(c.d())), e.f(), g.h(), i.j()\n{FILLING}"
    "if True:\n    import sys\nelse:\n    from x import a\ntry:\n    import c.d\nexcept E:\n    import q as e\n"
    "with z:\n    for _ in y:\n        import g\nclass K:\n    import i\n",
    "stars": f"from os import *\n{FILLING}def f():\n    return path.join('a')\n",
    "walrus": f"{FILLING}x = [y := 1 for _ in z]\n{FILLING}def f():\n    return y.a()\n",
    "texts_alone": f"{FILLING}'text'\n{FILLING}'another'\n1\n{FILLING}",
    "carriage_returns": FILLING.replace("\n", "\r\n"),
    "form_feeds": FILLING.replace("\n\n\n", "\n\f\n\n"),
    "letters": f"größe = 'ä'\n{FILLING}class Ä:\n    x = 'ß'; y = lambda ö: ö\n{MEMBERS}",
    "matching": f"{FILLING}match x:\n    case {{'a': b, **rest}}:\n        c = lambda: b\n    case _:\n        pass\nmatch = 1\n{FILLING}",
    "types_in_comments": f"{FILLING}x = 1  # type: int\ny = []  # type: ignore\n{FILLING}",
    "a_cookie": f"# -*- coding: latin-1 -*-\n{FILLING}x = 'ä'\n",
}  # fmt: skip

BROKEN = {
    "a_bracket": f"{FILLING}x = (1,\n{FILLING}",
    "a_text": f'{FILLING}x = """\n{FILLING}',
    "an_else": f"{FILLING}else:\n    pass\n{FILLING}",
    "a_decorator": f"{FILLING}@a\n",
    "a_backslash": f"{FILLING}x = 1 + \\\n",
    "a_body": f"{FILLING}class A:\n\n{FILLING}",
    "a_margin": f"{FILLING}class A:\n{MEMBERS}   def f(self):\n        pass\n{FILLING}",
    "a_late_future": f"import os\n{FILLING}from __future__ import annotations\n",
    "a_future_after_functions": f"{FILLING}from __future__ import annotations\n{FILLING}",
    "an_unknown_future": f"from __future__ import x\n{FILLING}",
    "a_return": f"{FILLING}return 1\n{FILLING}",
    "a_return_in_a_class": f"class A:\n{MEMBERS}    return 1\n{FILLING}",
    "two_errors_for_the_compiler": f"{FILLING}def f(a, a): pass\n{FILLING}return\n",
    "a_global_too_late": f"x = 1\n{FILLING}global x\n",
    "a_nonlocal": f"{FILLING}nonlocal x\n",
    "a_zero": f"{FILLING}x = '\0'\n",
    "a_surrogate": f"{FILLING}x = '\udc80'\n",
    "tabs_and_spaces": f"{FILLING}class A:\n    x = 1\n\ty = 2\n{FILLING}",
    "an_old_operator": f"from __future__ import barry_as_FLUFL\n{FILLING}x = 1 <> 2\n",
    "two_stars": f"{FILLING}def f():\n    from os import *\n",
}  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_here_is_the_same_in_pieces(path: Path) -> None:
    assert_same(decode_source(path.read_bytes()), str(path))


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_the_same_in_pieces(name: str) -> None:
    assert_same(ODD[name])


@pytest.mark.parametrize("name", BROKEN)
def test_an_error_is_that_of_the_whole(name: str) -> None:
    expected = outcome(lambda: in_one_go(BROKEN[name]))
    assert expected is not None
    assert outcome(lambda: in_pieces(BROKEN[name])) == expected


@pytest.mark.parametrize("seed", range(8))
def test_files_with_something_gone_or_twice_are_the_same_or_have_the_same_error(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(8):
        source = rng.choice(FILES).read_text()
        if len(source) < 4000:
            continue
        at = rng.randrange(len(source))
        length = rng.choice([1, 1, 3, 40])
        more = rng.choice(["", "", '"""', "(", "\n", "    ", "class ", "\n@x\n", "'", "\\\n", "else:\n"])
        source = source[:at] + more + source[at + length :]
        expected = outcome(lambda source=source: in_one_go(source))
        assert outcome(lambda source=source: in_pieces(source)) == expected
        if expected is None:
            assert_same(source)


@pytest.mark.parametrize(
    "source",
    [
        FILLING * 10,
        f"class A:\n{MEMBERS * 14}",
        f'@a\nclass A:\n    """Doc."""\n\n    x: int = 1\n\n{MEMBERS * 14}',
        f'"""Doc.\n\nclass that is none\n"""\n{FILLING * 5}class A(B):\n{MEMBERS * 7}',
    ],
    ids=["functions", "class", "decorated", "both"],
)
def test_two_thousand_lines_are_many_pieces(source: str) -> None:
    lines = source.count("\n")
    assert lines > 2000
    calls: list[None] = []
    tree = pieces.parse(source, "x.py", lambda: calls.append(None))
    assert len(calls) >= lines // 160
    assert assert_same(source) >= lines // 160
    calls.clear()
    pieces.compile_functions(tree, "x.py", lambda: calls.append(None))
    assert len(calls) >= lines // 160
