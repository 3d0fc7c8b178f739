"""The commands that show the settings of this installation and change nothing."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import typer

from domain.redaction import hide_secrets
from runtime.config_file import ConfigFile
from runtime.configured_secrets import read_secrets
from runtime.settings import PREFIX, Settings, load_settings, redacted, setting_names


def print_settings() -> None:
    """Print the effective settings and the file, without passwords and keys, and its variables that aren't set."""
    settings = load_settings()
    for line in _variables(settings):
        typer.echo(line)
    if settings.file is not None:
        for name, reason in read_secrets(settings.file).reasons.items():
            typer.echo(hide_secrets(f"# {name} isn't served from here: {reason}"))
        for line in tables(settings.file):
            typer.echo(line)


def _variables(settings: Settings) -> Iterator[str]:
    for name in setting_names():
        value = getattr(settings, name)
        if value is None:
            yield f"# {PREFIX}{name.upper()} is not set" + (": embedded" if name.endswith("_url") else "")
            continue
        yield f"{PREFIX}{name.upper()}={redacted(value) if name.endswith('_url') else hide_secrets(_plain(value))}"


def _plain(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float():
            return str(value).removesuffix(".0")
        case _:
            return str(value)


def tables(file: ConfigFile) -> Iterator[str]:
    """Return a configuration as TOML, table by table."""
    yield from _table((), file.model_dump(mode="json", exclude_defaults=True))


def _table(path: tuple[str, ...], content: Mapping[str, Any]) -> Iterator[str]:
    values = {key: value for key, value in content.items() if not isinstance(value, Mapping)}
    if values or (path and not content):
        yield ""
        if path:
            yield f"[{'.'.join(_key(part) for part in path)}]"
        for key, value in values.items():
            yield f"{_key(key)} = {_value(value)}"
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _table((*path, key), value)


def _key(part: str) -> str:
    is_bare = part.isascii() and part.replace("-", "").replace("_", "").isalnum()
    return part if is_bare else json.dumps(part)


def _value(value: Any) -> str:
    # A TOML string, number, boolean or list of strings is written as in JSON.
    return hide_secrets(json.dumps(value, ensure_ascii=False))
