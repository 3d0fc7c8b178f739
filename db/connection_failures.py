"""Reasons why a database can't be used, in words for the operator, and whether waiting can help."""

import ssl
from dataclasses import dataclass

import asyncpg

from db.poolers import PoolerUnsupported
from domain.postgres_url import WrongConnectionString

OLDEST_VERSION = 15


class ServerTooOld(ConnectionError):
    """The server is older than this version can work with."""


class SchemaNotServed(ConnectionError):
    """This release can't work on the database's schema."""


@dataclass(frozen=True, slots=True)
class Failure:
    """`reason` is the fault and its remedy; if it `heals`, a later attempt may succeed."""

    reason: str
    heals: bool


def describe_failure(error: BaseException) -> Failure:
    """Describe an error of connecting. The text shows no password."""
    for cause in causes_of(error):
        if isinstance(cause, WrongConnectionString | ServerTooOld | PoolerUnsupported | SchemaNotServed):
            return Failure(_first_line(cause), heals=False)
        for kinds, remedy in _REMEDIES:
            if isinstance(cause, kinds):
                return Failure(f"{_first_line(cause)}: {remedy}", heals=False)
        if isinstance(cause, ConnectionError) and "rejected SSL upgrade" in str(cause):
            return Failure("the server offers no TLS: turn it on there, or set sslmode=prefer.", heals=False)
    return Failure(f"{_first_line(error)}: start it, or name one that can be reached.", heals=True)


def causes_of(error: BaseException | None) -> list[BaseException]:
    """Return an error, the error that caused it, and so on."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__
    return found


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return (text.splitlines()[0] if text else type(error).__name__).rstrip(".") + (
        "." if isinstance(error, WrongConnectionString | ServerTooOld | PoolerUnsupported | SchemaNotServed) else ""
    )


_Kinds = tuple[type[BaseException], ...]
_REMEDIES: tuple[tuple[_Kinds, str], ...] = (
    ((asyncpg.InvalidPasswordError,), "set the right user and password."),
    ((asyncpg.InvalidAuthorizationSpecificationError,), "let this account in (pg_hba.conf), or name another."),
    ((asyncpg.InvalidCatalogNameError,), "create it, or name another database."),
    (
        (ssl.SSLCertVerificationError,),
        "set sslrootcert to the certificate that signed the server's, and its host name.",
    ),
    ((ssl.SSLError,), "look at sslmode, sslcert and sslkey, and at what the server demands."),
    ((asyncpg.UndefinedTableError,), "run `breakwater migrate` first."),
    ((asyncpg.InsufficientPrivilegeError,), "grant it to this account, or name another."),
    (
        (asyncpg.ProtocolViolationError, asyncpg.SyntaxOrAccessError, asyncpg.DataError),
        "the server, or a pooler before it, refuses what a session starts with: look at options and its settings.",
    ),
)
"""The first that fits."""
