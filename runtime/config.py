"""Typed configuration: TOML files checked against a schema, with every error reported at once.

A schema is a tuple of `Key`s named `section.key` (`chat.limits.window` is `window` in `[chat.limits]`).
Values come from, the later one winning: the key's default, the file, `--set section.key=value`.
Whoever needs a setting reads it once through a typed getter of `Config`:

    KEYS = (Key("chat.window", int, 64, unit="messages", min=1, max=10_000, doc="unacknowledged per device"),)
    config = load("etc/chat.toml", KEYS, ["chat.window=8"])
    config.integer("chat.window")            # 8
    config.into(ChatSettings, "chat")        # a dataclass whose fields are named like the keys

The value of a key marked `secret` is a `Secret`, which shows itself as `'***'`: in reports, dumps, shells and complaints,
alone or inside whatever it is handed on in.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

__all__ = ["Config", "ConfigError", "ConfigErrors", "Key", "Secret", "load", "load_files"]

T = TypeVar("T")

# Types


class Secret(str):
    """A text that is not shown: its repr is `'***'`. Everything else, `str()` too, works on the text itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'" if self else "''"


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """One setting: its full name, type, default, and what is allowed.

    `type` is bool, int, float, str, list[str], list[int] or dict (a table handed through as it is).
    A float accepts whole numbers. `min` and `max` bound a number, or the length of a text or list;
    `choices` lists the allowed values (of a list: of its items). Durations are seconds. `secret`: a text, or list of
    texts, that is never shown (a password, a URL that may have one in it).
    """

    name: str
    type: Any
    default: Any
    unit: str = ""
    min: float | None = None
    max: float | None = None
    choices: Sequence[Any] | None = None
    doc: str = ""
    secret: bool = False

    @property
    def section(self) -> str:
        return self.name.rpartition(".")[0]

    def allowed(self) -> str:
        """Say in words what may stand there: `a whole number from 1 to 65535 (seconds)`."""
        text = _TYPE_WORDS.get(self.type, str(self.type))
        if self.choices is not None:
            text = "one of " + ", ".join(repr(c) for c in self.choices)
            text = f"a list, each {text}" if self.type in _LISTS else text
        bounds = _bounds(self)
        return f"{text}{bounds}" + (f" ({self.unit})" if self.unit else "")

    def guard(self, value: Any) -> Any:
        """Return `value` as it may be kept: what is secret, in a form that is not shown."""
        if not self.secret:
            return value
        return list(map(Secret, value)) if isinstance(value, list) else Secret(value)

    def check(self, value: Any) -> Any:
        """Return the value in the key's type; raise ValueError when it is not allowed."""
        value = _typed(self, value)
        items = value if self.type in _LISTS else [value]
        if self.choices is not None and any(item not in self.choices for item in items):
            raise ValueError
        size = value if self.type in (int, float) else len(value) if self.type in (str, *_LISTS) else None
        if size is not None:
            if self.min is not None and size < self.min:
                raise ValueError
            if self.max is not None and size > self.max:
                raise ValueError
        return value


class ConfigError(NamedTuple):
    """One thing that is wrong: where (file or `--set`), which key, the value found, and a sentence."""

    source: str
    key: str
    value: Any
    message: str

    def __str__(self) -> str:
        return f"{self.source}: {self.message}"


class ConfigErrors(Exception):
    """Everything that is wrong with a configuration; `.errors` lists it, `str()` is one line each."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        self.errors = list(errors)
        super().__init__("\n".join(str(error) for error in errors))


class Config(Mapping[str, Any]):
    """Checked settings by full name. Immutable; reading an unknown name is a KeyError naming it."""

    def __init__(self, values: Mapping[str, Any], origins: Mapping[str, str] | None = None) -> None:
        self._values = dict(values)
        self._origins = dict(origins or {})

    def __getitem__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise KeyError(f"no setting {name!r}{_nearest(name, self._values)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Config of {len(self._values)} settings>"  # values may be secrets: never in a log line

    @property
    def origins(self) -> Mapping[str, str]:
        """Where the values come from that are not defaults."""
        return self._origins

    def origin(self, name: str) -> str:
        """Where the value comes from: `default`, `command line`, or the file's name."""
        return self._origins.get(name, "default")

    def text(self, name: str) -> str:
        value: str = self._typed(name, str)  # as it is: `str` would make a Secret one that is shown
        return value

    def integer(self, name: str) -> int:
        return int(self._typed(name, int))

    def number(self, name: str) -> float:
        return float(self._typed(name, (int, float)))

    def flag(self, name: str) -> bool:
        return bool(self._typed(name, bool))

    def items_of(self, name: str) -> list[Any]:
        return list(self._typed(name, list))

    def section(self, name: str) -> dict[str, Any]:
        """Return the settings directly inside `[name]`, by their short names."""
        head = name + "."
        return {
            k[len(head) :]: v
            for k, v in self._values.items()
            if k.startswith(head) and "." not in k[len(head) :]
        }

    def into(self, cls: type[T], section: str) -> T:
        """Fill a dataclass from a section: each field from the key of that name; other keys are left out."""
        values = self.section(section)
        names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        return cls(**{k: v for k, v in values.items() if k in names})

    def only(self, names: Iterable[str]) -> Config:
        """Return the part of it with these names (an application's own)."""
        wanted = set(names)
        return Config({k: v for k, v in self._values.items() if k in wanted}, self._origins)

    def merged(self, values: Mapping[str, Any], origin: str = "set at run time") -> Config:
        """Return a copy where these values win."""
        return Config({**self._values, **values}, {**self._origins, **dict.fromkeys(values, origin)})

    def difference(self, new: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
        """Return (changed, new, removed) between this and a later configuration, as `config_change` wants it."""
        changed = {k: v for k, v in new.items() if k in self._values and self._values[k] != v}
        added = {k: v for k, v in new.items() if k not in self._values}
        return changed, added, [k for k in self._values if k not in new]

    def _typed(self, name: str, kind: Any) -> Any:
        value = self[name]
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise TypeError(f"setting {name!r} is a {type(value).__name__}")
        return value


# API


def load(path: str | Path | None, schema: Iterable[Key], overrides: Iterable[str] = ()) -> Config:
    """Read one file against its schema; `overrides` are `section.key=value` texts.

    `path` None: defaults and overrides only.

    Raises:
        ConfigErrors: with every error of the file and of the overrides at once.
    """
    return load_files([(path, schema)], overrides)


def load_files(
    files: Iterable[tuple[str | Path | None, Iterable[Key]]], overrides: Iterable[str] = ()
) -> Config:
    """Read several files, each against its own schema, into one configuration.

    An override goes to the key it names, whichever file that belongs to. A section may only be declared by
    one of the schemas.
    """
    parts = [(path, {key.name: key for key in schema}) for path, schema in files]
    keys = {name: key for _, schema in parts for name, key in schema.items()}
    values: dict[str, Any] = {name: key.guard(key.default) for name, key in keys.items()}
    origins: dict[str, str] = {}
    errors: list[ConfigError] = []
    for path, schema in parts:
        if path is None:
            continue
        source = str(path)
        for name, value in _flatten(_read(path, errors), schema, ""):
            _take(source, source, name, value, schema, keys, values, origins, errors)
    for text in overrides:
        name, equals, raw = text.partition("=")
        name = name.strip()
        if not equals:
            secret = next((key.name for key in keys.values() if key.secret and key.name in text), None)
            shown = text if secret is None else f"{secret}***"
            message = f"{shown!r} is not of the form section.key=value"
            errors.append(ConfigError("--set", secret or name, shown, message))
            continue
        value = _parse_override(keys.get(name), raw.strip())
        meant = keys.get(name) or keys.get(_nearest_name(name, keys))
        source = f"--set {name}=***" if meant is not None and meant.secret else f"--set {text}"
        _take(source, "command line", name, value, keys, keys, values, origins, errors)
    if errors:
        raise ConfigErrors(errors)
    return Config(values, origins)


# Internals

_LISTS = (list[str], list[int])
_TYPE_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list[str]: "a list of texts",
    list[int]: "a list of whole numbers",
    dict: "a table",
}


def _take(
    source: str,
    origin: str,
    name: str,
    value: Any,
    schema: Mapping[str, Key],
    every: Mapping[str, Key],
    values: dict[str, Any],
    origins: dict[str, str],
    errors: list[ConfigError],
) -> None:
    key = schema.get(name)
    if key is None:
        if any(known.startswith(name + ".") for known in schema):
            message = f"{name} is a section, not a key"
        elif name in every:
            message = f"{name} belongs in another file"
        else:
            message = f"unknown key {name}{_nearest(name, every)}"
            meant = every.get(_nearest_name(name, every))
            value = None if meant is not None and meant.secret else value
        errors.append(ConfigError(source, name, value, message))
        return
    try:
        values[name] = key.guard(key.check(value))
    except ValueError:
        shown = "***" if key.secret else _shown(value)
        value = None if key.secret else value
        errors.append(
            ConfigError(source, name, value, f"{name} = {shown} is not allowed; wanted: {key.allowed()}")
        )
    else:
        origins[name] = origin


def _read(path: str | Path, errors: list[ConfigError]) -> dict[str, Any]:
    source = str(path)
    try:
        with Path(path).open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        reason = error.strerror or str(error)
        errors.append(ConfigError(source, "", None, f"the file cannot be read ({reason})"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        errors.append(ConfigError(source, "", None, f"not valid TOML: {error}"))
    return {}


def _flatten(table: Mapping[str, Any], schema: Mapping[str, Key], head: str) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        full = head + name
        key = schema.get(full)
        if isinstance(value, dict) and key is None:
            yield from _flatten(value, schema, full + ".")
            if not value and not any(known.startswith(full + ".") for known in schema):
                yield full, value  # an empty unknown section is a mistake too
        else:
            yield full, value


def _typed(key: Key, value: Any) -> Any:
    kind = key.type
    if kind is float and type(value) in (int, float):
        if not math.isfinite(value):
            raise ValueError
        return float(value)
    if kind in _LISTS:
        item = kind.__args__[0]
        if isinstance(value, list) and all(type(v) is item for v in value):
            return value
    elif type(value) is kind and not (kind is str and "\0" in value):  # no path and no name can hold that
        return value
    raise ValueError


def _parse_override(key: Key | None, raw: str) -> Any:
    """Read `raw` as a TOML value; where a text is wanted, take it as it stands (quotes are optional)."""
    if key is not None and key.type is str and not raw.startswith(('"', "'")):
        return raw
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        if key is not None and key.type == list[str] and not raw.startswith("["):
            return [part.strip() for part in raw.split(",") if part.strip()]
        return raw


def _bounds(key: Key) -> str:
    words = "" if key.type in (int, float) else ", length"
    if key.min is not None and key.max is not None:
        return f"{words} from {key.min} to {key.max}"
    if key.min is not None:
        return f"{words} of at least {key.min}"
    if key.max is not None:
        return f"{words} of at most {key.max}"
    return ""


def _shown(value: Any) -> str:
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _nearest(name: str, known: Iterable[str]) -> str:
    found = _nearest_name(name, known)
    return f"; did you mean {found}?" if found else ""


def _nearest_name(name: str, known: Iterable[str]) -> str:
    names = list(known)
    tail = name.rpartition(".")[2]
    # Best guess first: the right key in the wrong section, a slip of the fingers, the short name alone.
    found = [one for one in names if one.rpartition(".")[2] == tail]
    found = found if len(found) == 1 else difflib.get_close_matches(name, names, 1, 0.6)
    if not found:
        tails = {one.rpartition(".")[2]: one for one in names}
        found = [tails[match] for match in difflib.get_close_matches(tail, list(tails), 1, 0.75)]
    return found[0] if found else ""
