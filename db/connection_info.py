"""Reading connection strings: parameters, a service file and PG* variables put together, as libpq does."""

import getpass
import os
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.postgres_url import MIN_CONNECT_SECONDS, WrongConnectionString, check_parameters, parse_connection_string

DEFAULT_PORT = 5432
DEFAULT_SOCKETS = ("/run/postgresql", "/var/run/postgresql", "/tmp", "/private/tmp", "localhost")  # noqa: S108
"""The socket folders of different builds of the server; libpq knows only that of its own build."""
_VARIABLES = {
    "PGDATABASE": "dbname",
    "PGUSER": "user",
    "PGPASSWORD": "password",
    "PGPASSFILE": "passfile",
    "PGSERVICE": "service",
    "PGSERVICEFILE": "servicefile",
    "PGOPTIONS": "options",
    "PGAPPNAME": "application_name",
    "PGCONNECT_TIMEOUT": "connect_timeout",
    "PGCHANNELBINDING": "channel_binding",
    "PGREQUIREAUTH": "require_auth",
    "PGREQUIREPEER": "requirepeer",
    "PGGSSENCMODE": "gssencmode",
    "PGKRBSRVNAME": "krbsrvname",
    "PGGSSLIB": "gsslib",
    "PGSSLMODE": "sslmode",
    "PGSSLNEGOTIATION": "sslnegotiation",
    "PGSSLCERT": "sslcert",
    "PGSSLKEY": "sslkey",
    "PGSSLCERTMODE": "sslcertmode",
    "PGSSLROOTCERT": "sslrootcert",
    "PGSSLCRL": "sslcrl",
    "PGSSLCRLDIR": "sslcrldir",
    "PGSSLSNI": "sslsni",
    "PGSSLMINPROTOCOLVERSION": "ssl_min_protocol_version",
    "PGSSLMAXPROTOCOLVERSION": "ssl_max_protocol_version",
    "PGTARGETSESSIONATTRS": "target_session_attrs",
    "PGLOADBALANCEHOSTS": "load_balance_hosts",
}
_PLACE_VARIABLES = {"PGHOST": "host", "PGHOSTADDR": "hostaddr"}
"""Used only for a string without a host: a socket in it must not become an address on another machine."""


@dataclass(frozen=True, slots=True)
class Host:
    """A server to try. `name` is a host, an address, or a socket's folder; `address`, if given, is used instead."""

    name: str
    address: str | None
    port: int

    @property
    def is_socket(self) -> bool:
        """Say whether it is reached through a file of this machine."""
        return self.name.startswith("/")

    def __str__(self) -> str:
        return f"{self.name}:{self.port}"


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """Where and how to connect. `parameters` are all of libpq's; `hosts` are in the order of trying."""

    hosts: Sequence[Host]
    user: str
    database: str
    parameters: Mapping[str, str]

    @property
    def connect_seconds(self) -> float | None:
        """The limit for each address of each host, if one is given; libpq's 0 ("for ever") counts as none."""
        given = int(self.parameters.get("connect_timeout") or 0)
        return max(MIN_CONNECT_SECONDS, given) if given > 0 else None

    @property
    def target(self) -> str:
        """The wanted kind of server, of `domain.postgres_url.TARGETS`."""
        return self.parameters.get("target_session_attrs") or "any"

    def server_settings(self) -> dict[str, str]:
        """Return the initial settings of a session, besides user and database."""
        name = self.parameters.get("application_name") or self.parameters.get("fallback_application_name")
        settings = {"application_name": name, "options": self.parameters.get("options")}
        return {key: value for key, value in settings.items() if value}

    def password_for(self, host: Host) -> str | None:
        """Return the password for a host: as given, or from the password file."""
        if self.parameters.get("password"):
            return self.parameters["password"]
        path = Path(self.parameters["passfile"]) if self.parameters.get("passfile") else _home() / ".pgpass"
        return _find_password(path, host, self.database, self.user)

    def in_order(self) -> Sequence[Host]:
        """Return the hosts in the order of this attempt."""
        if self.parameters.get("load_balance_hosts") == "random":
            return random.sample(self.hosts, len(self.hosts))
        return self.hosts


def read_connection_info(text: str, environment: Mapping[str, str] | None = None) -> ConnectionInfo:
    """Return the servers and parameters of a connection string. Raises WrongConnectionString.

    Missing parameters are taken from its service, then from PostgreSQL's own variables (PGHOST, PGSSLMODE …), as in
    every PostgreSQL client.
    """
    variables = _from_environment(os.environ if environment is None else environment)
    parameters = parse_connection_string(text)
    if service := parameters.get("service") or variables.get("service"):
        file = parameters.get("servicefile") or variables.get("servicefile")
        parameters = _read_service(service, Path(file) if file else _home() / ".pg_service.conf") | parameters
    if parameters.get("host") or parameters.get("hostaddr"):
        variables = {name: value for name, value in variables.items() if name not in _PLACE_VARIABLES.values()}
    complete = variables | parameters
    check_parameters(complete)
    user = complete.get("user") or getpass.getuser()
    return ConnectionInfo(_hosts(complete), user, complete.get("dbname") or user, complete)


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    names = {**_VARIABLES, **_PLACE_VARIABLES, "PGPORT": "port"}
    return {name: environment[variable] for variable, name in names.items() if environment.get(variable)}


def _hosts(parameters: Mapping[str, str]) -> Sequence[Host]:
    addresses = parameters["hostaddr"].split(",") if parameters.get("hostaddr") else []
    names = parameters["host"].split(",") if parameters.get("host") else [""] * max(1, len(addresses))
    if addresses and len(addresses) != len(names):
        raise WrongConnectionString(f"it has {len(names)} hosts and {len(addresses)} of hostaddr: give one for each.")
    ports = parameters["port"].split(",") if parameters.get("port") else [""]
    if len(ports) == 1:
        ports = ports * len(names)
    if len(ports) != len(names):
        raise WrongConnectionString(
            f"it has {len(names)} hosts and {len(ports)} ports: give one port, or one for each."
        )
    return [
        Host(place, addresses[at] or None if addresses else None, int(port or DEFAULT_PORT))
        for at, (name, port) in enumerate(zip(names, ports, strict=True))
        for place in ([name] if name else [addresses[at]] if addresses else DEFAULT_SOCKETS)
    ]


def _read_service(name: str, path: Path) -> dict[str, str]:
    """Return the parameters of a service. Raises WrongConnectionString if the file or the service is missing."""
    found: dict[str, str] = {}
    is_wanted = has_begun = False
    for line in _lines(path, what=f"service={name[:60]}"):
        if section := re.fullmatch(r"\[(.*)\]", line):
            is_wanted = section[1] == name
            has_begun = has_begun or is_wanted
        elif is_wanted and "=" in line:
            key, _, value = line.partition("=")
            found.setdefault(key.strip(), value.strip())
    if not has_begun:
        raise WrongConnectionString(f"{path} has no service {name[:60]}: add it there, or remove service.")
    return found


def _lines(path: Path, *, what: str) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        raise WrongConnectionString(
            f"{what} needs {path}, which can't be read: make it, or set PGSERVICEFILE."
        ) from None
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _find_password(path: Path, host: Host, database: str, user: str) -> str | None:
    """Return the first matching password of a file; none if other users may read the file, as with libpq."""
    try:
        if path.stat().st_mode & 0o077 or not path.is_file():
            return None
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    wanted = ("localhost" if host.is_socket else host.name, str(host.port), database, user)
    for line in lines:
        fields = [re.sub(r"\\(.)", r"\1", field) for field in re.findall(r"(?:^|(?<=:))((?:[^:\\]|\\.)*)(?::|$)", line)]
        is_entry = len(fields) > len(wanted) and not line.startswith("#")
        if is_entry and all(field in {"*", value} for field, value in zip(fields, wanted, strict=False)):
            return fields[len(wanted)]
    return None


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")
