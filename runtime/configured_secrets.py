"""The keys and URLs that a configuration names by variables, as this process's environment holds them."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from domain.sources.connection import ConnectionSettings
from runtime.config_file import ConfigFile
from runtime.secret_files import Unreadable, read_variable

_SENDABLE = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Secrets:
    """The keys and URLs of a configuration that this process's environment holds.

    `values` are by variable; `reasons` say by `providers.NAME` and `connections.NAME` why it can't be served here.
    """

    values: Mapping[str, SecretStr]
    reasons: Mapping[str, str]


def read_secrets(file: ConfigFile) -> Secrets:
    """Look up the variables that a configuration names, or their files.

    Without a valid variable a provider or source isn't served.
    """
    values: dict[str, SecretStr] = {}
    reasons: dict[str, str] = {}
    for name, provider in file.providers.items():
        if provider.api_key_env and (reason := _read(provider.api_key_env, values, is_key=True)):
            reasons[f"providers.{name}"] = reason
    for name, connection in file.connections.items():
        found = [_read(connection.url_env, values), _wrong_url(connection, values)]
        found += [_read(variable, values, is_key=True) for variable in connection.key_envs]
        if reason := next(filter(None, found), None):
            reasons[f"connections.{name}"] = reason
    return Secrets(values, reasons)


def _read(variable: str, values: dict[str, SecretStr], *, is_key: bool = False) -> str | None:
    """Keep a variable's value, or return why it can't be used."""
    try:
        value = read_variable(variable, os.environ)
    except Unreadable as error:
        return str(error)
    if not value:
        return f"{variable} isn't in the environment: set {variable}."
    if is_key and not _SENDABLE.fullmatch(value):
        return f"{variable} can't be sent as a key: set it to the key alone, in visible ASCII."
    values[variable] = SecretStr(value)
    return None


def _wrong_url(connection: ConnectionSettings, values: Mapping[str, SecretStr]) -> str | None:
    """Return why a URL doesn't fit its connection's type, without any password."""
    url = values.get(connection.url_env, SecretStr("")).get_secret_value()
    fault = connection.fault(url)
    return None if fault is None else f"{connection.url_env} {fault}"
