"""PostgreSQL connection strings as libpq reads them: text in, parameters out. Reads no environment and no file.

Source: https://www.postgresql.org/docs/current/libpq-connect.html (URIs, keyword/value strings, parameters of 18).
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote

SCHEMES = ("postgresql", "postgres")
WANTED = "postgresql://user:password@host/database"
TLS_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
TARGETS = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
MIN_CONNECT_SECONDS = 2
"""libpq's own least limit: 1 counts as 2."""
_NOT_ENCODED = "its user or password holds a character that must be encoded: write / as %2F, ? as %3F, @ as %40."
_SECRET = re.compile(r"password|scram_(client|server)_key|oauth_client_secret")
_PORTS = re.compile(r"(\d{1,5})?(,(\d{1,5})?)*")
_INTEGER = re.compile(r"[+-]?\d{1,9}")


class WrongConnectionString(ValueError):
    """The error and the remedy, in a sentence that shows no password: "sslmode is …: set it to …."."""


def parse_connection_string(text: str) -> dict[str, str]:
    """Return the parameters of a URI or of a `key=value` string, by libpq's names. Raises WrongConnectionString.

    `host`, `hostaddr` and `port` are comma-separated lists. Beyond libpq, a query may say `host=a:5432&host=b:5432`,
    and `ssl` for `sslmode`.
    """
    scheme, separator, rest = text.partition("://")
    if separator and "=" not in scheme:
        if scheme not in SCHEMES:
            raise WrongConnectionString(f"it isn't a URL of this kind: set it to {WANTED}.")
        parameters = _parse_uri(rest)
    elif "=" in text:
        parameters = dict(_keyword_values(text))
    else:
        raise WrongConnectionString(f"it isn't a URL of this kind: set it to {WANTED}.")
    if "ssl" in parameters:
        given = parameters.pop("ssl")
        parameters.setdefault("sslmode", "require" if given == "true" else given)
    check_parameters(parameters)
    return parameters


def check_parameters(parameters: Mapping[str, str]) -> None:
    """Refuse a parameter that is unknown, unsupported, or has a wrong value."""
    for name, value in parameters.items():
        if name in _UNSUPPORTED:
            harmless, remedy = _UNSUPPORTED[name]
            if value not in harmless:
                asked = name if _SECRET.search(name) else f"{name}={value[:60]}"
                raise WrongConnectionString(f"{asked} isn't supported: {remedy}.")
        elif name not in _CHECKS:
            near = difflib.get_close_matches(name, [*_CHECKS, *_UNSUPPORTED], n=1)
            remedy = f"did you mean {near[0]}?" if near else "remove it, or set it as options=-c name=value."
            raise WrongConnectionString(f"there is no connection parameter {name[:60]}: {remedy}")
        elif wanted := _CHECKS[name](value):
            raise WrongConnectionString(f"{name} is {_shown(name, value)}: set it to {wanted}.")
    if parameters.get("sslrootcert") == "system" and parameters.get("sslmode", "verify-full") != "verify-full":
        raise WrongConnectionString("sslrootcert=system takes sslmode=verify-full: set sslmode to that.")
    if parameters.get("sslnegotiation") == "direct" and parameters.get("sslmode", "prefer") in TLS_MODES[:3]:
        raise WrongConnectionString("sslnegotiation=direct takes sslmode=require or stricter: set sslmode to that.")


def hide_passwords(text: str) -> str:
    """Return a connection string without its passwords, whether or not it can be parsed."""
    scheme, separator, rest = text.partition("://")
    if not separator or "=" in scheme:
        return re.sub(r"(\w*password\w*\s*=\s*)('(?:[^'\\]|\\.)*'?|(?:[^\s\\]|\\.)*)", r"\1***", text)
    start = rest.rfind("@") if "@" not in rest.partition("?")[0] else rest.partition("?")[0].rfind("@")
    if start >= 0:
        user, colon, _ = rest[:start].partition(":")
        rest = f"{user}{':***' if colon else ''}{rest[start:]}"
    before, mark, query = rest.partition("?")
    pairs = [_hide_pair(pair) for pair in query.split("&")]
    return f"{scheme}://{before}{mark}{'&'.join(pairs)}"


def _hide_pair(pair: str) -> str:
    name, separator, _ = pair.partition("=")
    return f"{name}=***" if separator and _SECRET.search(unquote(name).lower()) else pair


def _parse_uri(rest: str) -> dict[str, str]:
    place, _, query = rest.partition("?")
    authority, _, database = place.partition("/")
    account, at, hosts = authority.partition("@")
    if not at:
        account, hosts = "", authority
    is_account = not at and not authority.startswith("[") and re.search(r":[^,]*[^\d,][^,]*$", hosts) is not None
    if "@" in hosts or (not at and "@" in database) or (is_account and "@" in query):
        raise WrongConnectionString(_NOT_ENCODED)
    user, _, password = account.partition(":")
    parameters = {"user": _decoded(user), "password": _decoded(password), "dbname": _decoded(database)}
    names, ports = _parse_hosts(hosts)
    parameters |= {"host": ",".join(map(_decoded, names)), "port": ",".join(ports)}
    parameters = {name: value for name, value in parameters.items() if value.strip(",") or "," in value}
    if not ports or not any(ports):
        parameters.pop("port", None)
    return parameters | _parse_query(query)


def _parse_hosts(text: str) -> tuple[list[str], list[str]]:
    names, ports = [], []
    for part in text.split(","):
        if part.startswith("["):
            name, bracket, after = part[1:].partition("]")
            if not bracket or (after and not after.startswith(":")):
                raise WrongConnectionString("an IPv6 address has no closing bracket: write it as [::1]:5432.")
            if not name:
                raise WrongConnectionString("an IPv6 address is empty: write it as [::1]:5432.")
            port = after[1:]
        else:
            name, _, port = part.partition(":")
        names.append(name)
        ports.append(_decoded(port))
    return names, ports


def _parse_query(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    query = query.removesuffix("&")
    for pair in query.split("&") if query else ():
        name, separator, value = pair.partition("=")
        if not separator and "@" in name:
            raise WrongConnectionString(_NOT_ENCODED)
        if not separator:
            raise WrongConnectionString(f"its parameter {name[:60]} has no value: write {name[:60] or 'name'}=value.")
        name, value = _decoded(name), _decoded(value)
        name = {"database": "dbname"}.get(name, name)
        found[name] = f"{found[name]},{value}" if name == "host" and name in found else value
    return found | _split_ports(found)


def _split_ports(found: Mapping[str, str]) -> dict[str, str]:
    """Return hosts and ports where a query names both in one, as in `host=a:5432&host=b:5433`."""
    pairs = [re.fullmatch(r"([^:/]+):(\d+)", host) for host in found.get("host", "").split(",")]
    if "port" in found or not any(pairs):
        return {}
    hosts = [pair[1] if pair else host for pair, host in zip(pairs, found["host"].split(","), strict=True)]
    return {"host": ",".join(hosts), "port": ",".join(pair[2] if pair else "" for pair in pairs)}


def _keyword_values(text: str) -> Iterator[tuple[str, str]]:
    """Read `key = value 'quoted value'` as libpq does: a backslash escapes the character after it."""
    pattern = re.compile(r"\s*([^\s=]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?:\s+|$)", re.DOTALL)
    at = 0
    text = text.strip()
    while at < len(text):
        found = pattern.match(text, at)
        if found is None:
            raise WrongConnectionString("it isn't a list of key=value: quote values that hold spaces, as in 'a b'.")
        yield found[1], re.sub(r"\\(.)", r"\1", found[2] if found[2] is not None else found[3], flags=re.DOTALL)
        at = found.end()


def _decoded(text: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})|%00", text):
        raise WrongConnectionString("it has a % that no two hexadecimal digits follow: write % itself as %25.")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise WrongConnectionString("it has bytes encoded by % that aren't UTF-8: encode them as UTF-8.") from None


def _shown(name: str, value: str) -> str:
    """Return a value for a sentence; a wrong port is hidden, since it may be a password without its @."""
    if _SECRET.search(name) or name == "port":
        return "wrong"
    return f'"{value[:60]}"' if value else "empty"


def _any(_: str) -> str:
    return ""


def _one_of(*values: str) -> Callable[[str], str]:
    wanted = f"{', '.join(values[:-1])} or {values[-1]}"
    return lambda value: "" if value in values else wanted


def _integer(value: str) -> str:
    return "" if _INTEGER.fullmatch(value.strip()) else "a whole number"


def _ports(value: str) -> str:
    is_right = _PORTS.fullmatch(value) and all(0 < int(port) < 2**16 for port in value.split(",") if port)
    return "" if is_right else "a port from 1 to 65535, or one for each host, as in 5432,5433"


def _hosts(value: str) -> str:
    return "a host, an address or a folder of a socket" if any(h.startswith("@") for h in value.split(",")) else ""


_FREE = ("user", "password", "passfile", "dbname", "hostaddr", "options", "application_name")
_FREE_TOO = ("fallback_application_name", "sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl", "sslcrldir")
_CHECKS: Mapping[str, Callable[[str], str]] = {
    **dict.fromkeys((*_FREE, *_FREE_TOO, "service", "servicefile", "krbsrvname", "sslcompression"), _any),
    "host": _hosts,
    "port": _ports,
    "connect_timeout": _integer,
    **dict.fromkeys(("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"), _integer),
    "tcp_user_timeout": _integer,
    "sslmode": _one_of(*TLS_MODES),
    "sslnegotiation": _one_of("postgres", "direct"),
    "sslcertmode": _one_of("allow", "disable"),
    "ssl_min_protocol_version": _one_of("", *TLS_VERSIONS),
    "ssl_max_protocol_version": _one_of("", *TLS_VERSIONS),
    "target_session_attrs": _one_of(*TARGETS),
    "load_balance_hosts": _one_of("disable", "random"),
    "gsslib": _one_of("gssapi", "sspi"),
}
"""Checks by parameter: each returns the expected form if a value is wrong, else nothing."""
_REMOVE = "remove it"
_UNSUPPORTED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "channel_binding": (
        ("prefer", "disable"),
        "set channel_binding=prefer, and sslmode=verify-full so that nobody can stand between",
    ),
    "client_encoding": (("UTF8", "utf8", "UTF-8", "utf-8", "auto", ""), "set it to UTF8"),
    "gssencmode": (("disable", "prefer"), "set gssencmode=disable, and sslmode=require for encryption"),
    "gssdelegation": (("0",), _REMOVE),
    "sslsni": (("1",), _REMOVE),
    "require_auth": (("",), "remove it, and let the server's pg_hba.conf demand the method"),
    "requirepeer": (("",), "remove it, and let the folder of the socket keep others out"),
    "replication": (("false", "off", "no", "0"), _REMOVE),
    "min_protocol_version": (("3.0",), _REMOVE),
    "max_protocol_version": (("3.0", "3.2", "latest"), _REMOVE),
    **dict.fromkeys(("sslkeylogfile", "scram_client_key", "scram_server_key"), ((), _REMOVE)),
    **dict.fromkeys(
        ("oauth_issuer", "oauth_client_id", "oauth_client_secret", "oauth_scope"),
        ((), "use a password or a certificate"),
    ),
}
"""Parameters of libpq that aren't supported: the values that are harmless, and the remedy for other values."""
