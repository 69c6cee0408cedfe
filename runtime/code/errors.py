"""Why a release was refused: one exception, whose text is for people and whose fields are for programs."""

from __future__ import annotations

from typing import Final

__all__ = ["KINDS", "Refused", "refused_syntax", "said"]

KINDS: Final = frozenset(
    {
        "bad", "base", "blocking", "busy", "check", "code_change", "deleted", "error", "extension", "import", "layout",
        "selfcheck", "signature", "syntax", "unmanaged",
    }
)  # fmt: skip
"""What `Refused.kind` may be: a word a program can act on."""


class Refused(Exception):
    """The release did not go live, and nothing has changed: code, module state and process states are what they were.

    `str()` is one or several lines: what, where, and what to do next where there is something to do.
    """

    def __init__(
        self, reason: str, *, kind: str = "error", module: str | None = None, path: str | None = None,
        line: int | None = None, hint: str = "", excerpt: str = "",
    ) -> None:  # fmt: skip
        super().__init__(reason)
        self.reason = reason
        self.kind = kind
        self.module = module
        self.path = path
        self.line = line
        self.hint = hint
        self.excerpt = excerpt
        """Source lines with a caret under the culprit, each indented."""

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.path or self.module, self.line) if part is not None)
        text = f"{where}: {self.reason}" if where else self.reason
        if self.excerpt:
            text += "\n" + self.excerpt
        if self.hint:
            text += "\n" + self.hint
        return text


def said(error: BaseException) -> str:
    """Return an exception's class and text, in one line if it has no text; never fails, whatever its `__str__` does."""
    try:
        text = str(error)
    except Exception as worse:  # noqa: BLE001 - the program's own code, and the refusal must come out
        text = f"<its text cannot be had: {type(worse).__name__}>"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def refused_syntax(module: str, path: str, source: str, error: SyntaxError | ValueError) -> Refused:
    """Turn what `compile` raised into a refusal that shows the line with a caret under the place."""
    if not isinstance(error, SyntaxError):  # a null byte, an impossible encoding
        return Refused(str(error), kind="syntax", module=module, path=path)
    excerpt = ""
    # Not `error.text` first: the compiler reads that from the file of this name on disk, which may hold something else.
    line = error.lineno or 0
    text = "".join(source.split("\n")[line - 1 : line]) if line else (error.text or "")
    if text.strip():
        text = text.rstrip("\n").expandtabs(1)
        shown = text.lstrip()
        column = max(0, (error.offset or 1) - 1 - (len(text) - len(shown)))
        width = 1
        if error.end_lineno == error.lineno and error.end_offset:
            width = max(1, min(error.end_offset - (error.offset or 1), len(shown) - column))
        excerpt = f"    {shown}\n    {' ' * column}{'^' * width}"
    return Refused(
        f"{type(error).__name__}: {error.msg}", kind="syntax", module=module, path=path, line=error.lineno, excerpt=excerpt
    )  # fmt: skip
