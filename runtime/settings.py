"""All settings, read from the environment. A wrong setting ends the process with one sentence."""

import os
from collections.abc import Callable, MutableMapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.addresses import read_hosts, read_networks
from domain.postgres_url import SCHEMES as POSTGRES_SCHEMES
from domain.postgres_url import WrongConnectionString, hide_passwords, parse_connection_string
from domain.redaction import is_secret_parameter
from runtime import redis_urls
from runtime.config_file import ConfigFile, read_config_file
from runtime.errors import SettingError
from runtime.secret_files import SUFFIX, Unreadable, read_variable
from runtime.wrong_settings import sentence, unknown

PREFIX = "BREAKWATER_"
TEST_PREFIX = "BREAKWATER_TEST_"
"""The prefix of variables that only tests read; processes that a test starts may inherit them."""
STAGING = "breakwater-staging"
"""The folder of staged files in a data folder."""
URL_SETTINGS = ("database_url", "redis_url")
CLIENT_VARIABLES = ("BREAKWATER_URL", "BREAKWATER_API_KEY", "BREAKWATER_API_KEY_FILE")
"""What the commands read that ask a service over HTTP; the service's own processes pass over them."""
SECRET_SETTINGS = (*URL_SETTINGS, "oidc_client_secret")
"""The settings that may stand in a file."""


class LogLevel(StrEnum):
    """The least severe events that are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


SIGNATURE_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Asymmetric ones only: with the others the issuer's published key would sign."""
_SECONDS = "a number of seconds above 0, such as 5 or 0.5"


def _checked_by(read: Callable[[str], object]) -> Callable[[str], str]:
    """Return a validator that leaves a text as it is, if it can be read."""

    def check(text: str) -> str:
        read(text)
        return text

    return check


class Auth(StrEnum):
    """Whether requests need an API key."""

    OFF = "off"
    KEYS = "keys"


class Settings(BaseSettings):
    """The effective settings; durations are in seconds. `file` is the parsed TOML file, if one is named."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    host: str = Field(
        default="127.0.0.1", min_length=1, description="an address to listen on, such as 127.0.0.1 or 0.0.0.0"
    )
    port: int = Field(default=8000, ge=1, le=65535, description="a port from 1 to 65535")
    auth: Annotated[Auth, BeforeValidator(str.lower)] = Field(default=Auth.OFF, description="off or keys")
    insecure: bool = Field(default=False, description="true or false")
    oidc_issuer: str | None = Field(
        default=None, description="the URL of an identity provider, such as https://id.example.com/realms/main"
    )
    oidc_audience: str | None = Field(default=None, description="the audience of access tokens")
    oidc_algorithms: str = Field(
        default="RS256,ES256", description="signature algorithms of access tokens, separated by commas"
    )
    oidc_tenant_claim: str = Field(default="tenant", description="the name of a claim")
    oidc_scope_claim: str = Field(default="scope", description="the name of a claim")
    oidc_client_id: str | None = Field(default=None, description="the id of a client of the identity provider")
    oidc_client_secret: SecretStr | None = Field(default=None, repr=False, description="the secret of that client")
    oidc_session_seconds: float = Field(default=3_600, gt=0, allow_inf_nan=False, description=_SECONDS)
    session_seconds: float = Field(default=43_200, gt=0, allow_inf_nan=False, description=_SECONDS)
    session_idle_seconds: float = Field(
        default=3_600, ge=60, allow_inf_nan=False, description="a number of seconds from 60"
    )
    metrics_open: bool = Field(default=False, description="true or false")
    allowed_hosts: Annotated[str, AfterValidator(_checked_by(read_hosts))] | None = Field(
        default=None, description="names, addresses or networks, separated by commas"
    )
    trusted_proxies: Annotated[str, AfterValidator(_checked_by(read_networks))] | None = Field(
        default=None, description="addresses or networks, separated by commas"
    )
    database_url: str | None = Field(default=None, repr=False, description="postgresql://user:password@host/database")
    redis_url: str | None = Field(default=None, repr=False, description=redis_urls.WANTED)
    data_dir: Path | None = Field(default=None, description="a folder for the data of the embedded engines")
    config: Path | None = Field(default=None, description="the path of a TOML file")
    simulate: bool = Field(default=False, description="true or false")
    workers: int = Field(default=1, ge=0, le=64, description="a number of worker processes from 0 to 64")
    worker_concurrency: int = Field(default=100, ge=1, description="a number of calls in flight per worker, from 1")
    log_level: Annotated[LogLevel, BeforeValidator(str.lower)] = Field(
        default=LogLevel.INFO, description="debug, info, warning or error"
    )
    lease_seconds: float = Field(default=30, gt=0, allow_inf_nan=False, description=_SECONDS)
    heartbeat_seconds: float = Field(default=5, gt=0, allow_inf_nan=False, description=_SECONDS)
    reconcile_seconds: float = Field(default=5, gt=0, allow_inf_nan=False, description=_SECONDS)
    shutdown_seconds: float = Field(default=20, gt=0, allow_inf_nan=False, description=_SECONDS)
    keep_alive_seconds: float = Field(default=75, gt=0, allow_inf_nan=False, description=_SECONDS)
    receive_seconds: float = Field(default=10, gt=0, allow_inf_nan=False, description=_SECONDS)
    send_seconds: float = Field(default=20, gt=0, allow_inf_nan=False, description=_SECONDS)
    idempotency_hours: float = Field(default=24, gt=0, allow_inf_nan=False, description="a number of hours above 0")
    audit_retention_days: int | None = Field(default=None, ge=30, description="a number of days from 30")
    dedup_seconds: float = Field(default=60, ge=0, allow_inf_nan=False, description="a number of seconds from 0")
    max_cells: int = Field(default=10_000, ge=1, description="a number of cells per job, from 1")
    backlog: int = Field(default=100_000, ge=1, description="a number of jobs that may wait to be planned, from 1")
    echo_delay_seconds: float = Field(default=0, ge=0, allow_inf_nan=False, description="a number of seconds from 0")
    echo_failure_rate: float = Field(default=0, ge=0, le=1, description="a share from 0 to 1")
    file: ConfigFile | None = Field(default=None, exclude=True, description="set by BREAKWATER_CONFIG only")


def load_settings() -> Settings:
    """Read and check every setting; raises SettingError with a sentence that names the remedy."""
    _refuse_unknown_names()
    secrets = {name: text for name in SECRET_SETTINGS if (text := _from_file(PREFIX + name.upper())) is not None}
    try:
        settings = Settings(**secrets)  # type: ignore[arg-type]  # the checks of fields hold for these, too
    except ValidationError as error:
        raise SettingError(sentence(error, Settings, name=lambda where: PREFIX + where.upper())) from None
    _refuse_wrong_urls(settings)
    _refuse_wrong_nesting(settings)
    _refuse_wrong_issuer(settings)
    file = read_config_file(settings.config) if settings.config else None
    return settings.model_copy(update={"file": file})


def redacted(url: str) -> str:
    """Return a URL or a PostgreSQL connection string without its passwords, tokens and keys."""
    parts = urlsplit(url)
    if parts.scheme in POSTGRES_SCHEMES or not parts.scheme:
        return hide_passwords(url)
    account, at, host = parts.netloc.rpartition("@")
    user, colon, _ = account.partition(":")
    query = [
        (key, "***" if is_secret_parameter(key) else value)
        for key, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    netloc = f"{user}{':***' if colon else ''}{at}{host}"
    return urlunsplit(parts._replace(netloc=netloc, query=urlencode(query, safe="/*", quote_via=quote)))


def pass_urls(environment: MutableMapping[str, str], *, database_url: str, redis_url: str) -> None:
    """Set the URLs in the environment of a process, in place of files that hold them."""
    for name, url in zip(URL_SETTINGS, (database_url, redis_url), strict=True):
        environment.pop(f"{PREFIX}{name.upper()}{SUFFIX}", None)
        environment[PREFIX + name.upper()] = url


def files_of(settings: Settings) -> list[Path]:
    """Return the files and folders that settings and their file name, and that processes read."""
    file = settings.file or ConfigFile()
    variables = [f"{PREFIX}OIDC_CLIENT_SECRET"]
    variables += [provider.api_key_env for provider in file.providers.values() if provider.api_key_env]
    for connection in file.connections.values():
        variables += [connection.url_env, *connection.key_envs]
    named = [os.environ.get(f"{variable}{SUFFIX}") for variable in variables]
    roots = [folder for folder, _ in file.imports.folders] if file.imports else []
    return [*filter(None, [settings.config]), *roots, *(Path(path) for path in named if path)]


def setting_names() -> list[str]:
    """Return the fields of Settings that environment variables set."""
    return [name for name in Settings.model_fields if name != "file"]


def _refuse_unknown_names() -> None:
    known = {PREFIX + name.upper() for name in setting_names()}
    known |= {f"{PREFIX}{name.upper()}{SUFFIX}" for name in SECRET_SETTINGS}
    known |= set(CLIENT_VARIABLES)
    for name in os.environ:
        if name.startswith(PREFIX) and not name.startswith(TEST_PREFIX) and name not in known:
            raise SettingError(unknown(name, name, known))


def _from_file(variable: str) -> str | None:
    try:
        return read_variable(variable, os.environ) if os.environ.get(variable + SUFFIX) else None
    except Unreadable as error:
        raise SettingError(str(error)) from None


def _refuse_wrong_urls(settings: Settings) -> None:
    if settings.database_url is not None:
        _refuse_wrong_connection_string(settings.database_url, f"{PREFIX}DATABASE_URL")
    if settings.redis_url is not None and (fault := redis_urls.fault(settings.redis_url)):
        raise SettingError(f"{PREFIX}REDIS_URL {fault}")


def _refuse_wrong_connection_string(text: str, name: str) -> None:
    try:
        parse_connection_string(text)
    except WrongConnectionString as error:
        raise SettingError(f"{name} can't be used: {error}") from None


def _refuse_wrong_nesting(settings: Settings) -> None:
    lease = settings.lease_seconds
    if 2 * settings.heartbeat_seconds >= lease:
        raise SettingError(
            f"BREAKWATER_HEARTBEAT_SECONDS is {settings.heartbeat_seconds:g} with BREAKWATER_LEASE_SECONDS {lease:g}: "
            f"set the heartbeat below {lease / 2:g}, or the lease above {2 * settings.heartbeat_seconds:g}."
        )
    if settings.reconcile_seconds > lease:
        raise SettingError(
            f"BREAKWATER_RECONCILE_SECONDS is {settings.reconcile_seconds:g} with BREAKWATER_LEASE_SECONDS {lease:g}: "
            f"set it to {lease:g} or less."
        )


def _refuse_wrong_issuer(settings: Settings) -> None:
    """Refuse an issuer that tokens can't be taken from, and one that nobody asks."""
    if settings.oidc_issuer is None:
        if settings.oidc_client_id is not None:
            raise SettingError("BREAKWATER_OIDC_CLIENT_ID needs BREAKWATER_OIDC_ISSUER: nobody else knows the client.")
        return
    if settings.oidc_client_secret is not None and settings.oidc_client_id is None:
        raise SettingError("Set BREAKWATER_OIDC_CLIENT_ID: BREAKWATER_OIDC_CLIENT_SECRET is the secret of that client.")
    issuer = urlsplit(settings.oidc_issuer)
    is_local = issuer.hostname in {"127.0.0.1", "::1", "localhost"}
    if issuer.scheme != "https" and not (issuer.scheme == "http" and is_local):
        raise SettingError("BREAKWATER_OIDC_ISSUER must be an https:// URL: its keys decide who is let in.")
    if settings.oidc_audience is None:
        raise SettingError("Set BREAKWATER_OIDC_AUDIENCE, so that tokens for other services aren't taken.")
    if settings.oidc_audience == settings.oidc_client_id:
        raise SettingError(
            "BREAKWATER_OIDC_AUDIENCE and BREAKWATER_OIDC_CLIENT_ID must differ: an ID token would be an access token."
        )
    if settings.auth is Auth.OFF:
        raise SettingError("BREAKWATER_OIDC_ISSUER needs BREAKWATER_AUTH=keys: while it is off, nobody is asked.")
    if wrong := set(settings.oidc_algorithms.split(",")) - SIGNATURE_ALGORITHMS:
        allowed = ", ".join(sorted(SIGNATURE_ALGORITHMS))
        raise SettingError(f"BREAKWATER_OIDC_ALGORITHMS has {min(wrong)!r}: give some of {allowed}, by commas.")
