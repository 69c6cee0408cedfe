"""Reading the node's settings (`node_keys`) and its applications', from their files and from the command line.

Theory of operation: which applications there are decides which settings there are. So `node.applications` is read first,
forgivingly; their modules are imported, and everything is read once more, by all schemas, with every error named. An
application adds its own: a class attribute `schema` with its keys and `config_file` with the name of its file, looked up
beside the node's (see `runtime.otp.application`).
"""

from __future__ import annotations

import importlib
import tomllib
import traceback
from pathlib import Path
from typing import Any

from runtime.config import Config, ConfigError, ConfigErrors, Key, load, load_files
from runtime.node_keys import KEYS, problems

__all__ = ["application_class", "early", "load_node_config"]

# API


def load_node_config(path: str | Path | None, overrides: list[str]) -> tuple[Config, list[type[Any]]]:
    """Read the node's file and its applications' files; return the settings and the application classes.

    Imports the applications' modules (their schemas live there).

    Raises:
        ConfigErrors: with every error of all files and overrides at once.
    """
    names, errors = _application_names(path, overrides)
    classes: list[type[Any]] = []
    for name in names:
        try:
            cls = application_class(name)
            if any(getattr(cls, "name", cls) == getattr(other, "name", other) for other in classes):
                raise ValueError(f"{name!r} is there twice, or another application has its name")
            classes.append(cls)
        except ValueError as error:
            message = f"node.applications: {error}"
            errors.append(
                ConfigError(_applications_from(path, overrides), "node.applications", name, message)
            )
    files: list[tuple[str | Path | None, Any]] = [(path, KEYS)]
    files += _application_files(path, classes)
    try:
        config = load_files(files, overrides)
    except ConfigErrors as found:
        raise ConfigErrors(_once([*found.errors, *errors])) from None
    errors += [_wrong(config, name, text) for name, text in problems(config)]
    for cls in classes:
        own = config.only(key.name for key in getattr(cls, "schema", ()))
        said = cls.config_problems(own) if hasattr(cls, "config_problems") else {}
        errors += [_wrong(config, name, text) for name, text in said.items()]
    if errors:
        raise ConfigErrors(errors)
    return config, classes


def early(path: str | Path | None, overrides: list[str], name: str) -> Any:
    """Return one setting before all are known; its default where it is wrong, as the full reading will say."""
    key = next(key for key in KEYS if key.name == name)
    own = [text for text in overrides if text.partition("=")[0].strip() == name]
    try:
        if own:
            return load(None, [key], own)[name]
        found: Any = tomllib.loads(Path(path).read_text()) if path is not None else {}
        for part in name.split("."):
            found = found[part]
        return key.check(found)
    except (ConfigErrors, OSError, ValueError, LookupError, TypeError):
        return key.default


def application_class(name: str) -> type[Any]:
    """Import `module:Class`; ValueError with a sentence when there is no such thing."""
    module_name, colon, class_name = name.partition(":")
    if not colon or not module_name or not class_name:
        raise ValueError(f"{name!r} is not of the form module:Class")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A missing import *inside* the application is its own fault, and another sentence.
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise ValueError(f"there is no module {error.name}, needed for {name!r}") from None
        raise ValueError(f"{module_name} needs the module {error.name}, which is not installed") from None
    except Exception as error:  # noqa: BLE001 - its module may raise anything; the operator gets a sentence
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = (
            f"{error.filename}:{error.lineno}"
            if isinstance(error, SyntaxError)
            else f"{where.filename}:{where.lineno}"
        )
        raise ValueError(
            f"{module_name} cannot be imported: {type(error).__name__}: {error} ({place})"
        ) from None
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise ValueError(f"{module_name} has no class {class_name}")  # noqa: TRY004  (a mistake in a text)
    return found


# Internals


def _application_names(path: str | Path | None, overrides: list[str]) -> tuple[list[str], list[ConfigError]]:
    # Which applications there are decides which schemas there are: read this one key first, forgivingly. What is
    # wrong otherwise is reported by the full reading.
    key = next(key for key in KEYS if key.name == "node.applications")
    own = [text for text in overrides if text.partition("=")[0].strip() == key.name]
    try:
        return list(load(None, [key], own)[key.name] if own else _from_file(path, key)), []
    except ConfigErrors:
        return [], []


def _applications_from(path: str | Path | None, overrides: list[str]) -> str:
    """Where the names of the applications come from, in words; the last override wins, as it does when all is read."""
    own = [text for text in overrides if text.partition("=")[0].strip() == "node.applications"]
    return f"--set {own[-1]}" if own else str(path) if path else "defaults"


def _from_file(path: str | Path | None, key: Key) -> list[str]:
    try:
        return list(load(path, [key])[key.name])
    except ConfigErrors as found:
        for error in found.errors:
            if error.key in ("", key.name):
                return []
        table = tomllib.loads(Path(str(path)).read_text())
        node = table.get("node", {})
        return list(node.get("applications", key.default)) if isinstance(node, dict) else []


def _application_files(
    path: str | Path | None, classes: list[type[Any]]
) -> list[tuple[str | Path | None, Any]]:
    files: list[tuple[str | Path | None, Any]] = []
    for cls in classes:
        name = getattr(cls, "config_file", "")
        file = Path(path).parent / name if path is not None and name else None
        # An application's file may be left out: its defaults then hold.
        files.append((file if file is not None and file.exists() else None, getattr(cls, "schema", ())))
    return files


def _wrong(config: Config, name: str, message: str) -> ConfigError:
    return ConfigError(config.origin(name), name, config[name], f"{name} = {config[name]!r} {message}")


def _once(errors: list[ConfigError]) -> list[ConfigError]:
    return list({(error.source, error.message): error for error in errors}.values())
