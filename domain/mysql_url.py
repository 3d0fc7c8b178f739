"""URLs of MySQL and MariaDB servers: `mysql://user:password@host:port/database`, with options for TLS behind it."""

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl, unquote, urlsplit

SCHEMES = ("mysql", "mariadb")
PORT = 3306


class TlsMode(StrEnum):
    """The encryption and the trust of a session, by the names of the official clients."""

    DISABLED = "disabled"
    PREFERRED = "preferred"
    REQUIRED = "required"
    VERIFY_CA = "verify_ca"
    VERIFY_IDENTITY = "verify_identity"


OPTIONS = ("ssl-mode", "ssl-ca", "ssl-cert", "ssl-key", "socket")


class WrongMysqlUrl(ValueError):
    """A URL that can't be used; the text is the reason, without any of its values."""


@dataclass(frozen=True, slots=True)
class MysqlUrl:
    """The address of a server, the account and the TLS mode. `socket` is the path of a local socket, or None."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str | None
    socket: str | None
    tls: TlsMode
    ca: str | None
    certificate: str | None
    key: str | None


def parse_mysql_url(text: str) -> MysqlUrl:
    """Parse a URL. Raises WrongMysqlUrl."""
    try:
        parts = urlsplit(text)
        port = parts.port or PORT
    except ValueError:
        raise WrongMysqlUrl("its host or port makes no sense.") from None
    if parts.scheme not in SCHEMES:
        raise WrongMysqlUrl("it doesn't begin with mysql:// or mariadb://.")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if options.keys() - OPTIONS:  # it may be the rest of a password that isn't encoded
        raise WrongMysqlUrl(f"it has an option that isn't known: there are {', '.join(OPTIONS)}.")
    if not parts.username:
        raise WrongMysqlUrl("it names no user: write mysql://user:password@host/database.")
    if not parts.hostname and "socket" not in options:
        raise WrongMysqlUrl("it names no host: write mysql://user:password@host/database.")
    return MysqlUrl(
        host=parts.hostname or "localhost",
        port=port,
        user=unquote(parts.username),
        password=unquote(parts.password or ""),
        database=unquote(parts.path.removeprefix("/")) or None,
        socket=options.get("socket"),
        tls=_tls_mode(options),
        ca=options.get("ssl-ca"),
        certificate=options.get("ssl-cert"),
        key=options.get("ssl-key"),
    )


def _tls_mode(options: dict[str, str]) -> TlsMode:
    given = options.get("ssl-mode")
    if given is None:
        return TlsMode.VERIFY_CA if "ssl-ca" in options else TlsMode.PREFERRED
    try:
        return TlsMode(given.lower())
    except ValueError:
        raise WrongMysqlUrl(f"its ssl-mode is none of {', '.join(TlsMode)}.") from None
