"""Opening sessions: each address of each host in turn, with a time limit for each, as libpq does.

The driver has one limit for a whole list, no `hostaddr` and no socket options, so it gets one address at a time
(docs/decisions/0020).
"""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from types import SimpleNamespace
from typing import Any

import asyncpg

from db.array_types import ARRAY_TYPES
from db.connection_info import ConnectionInfo, Host
from db.tls import tls_ladder
from domain.postgres_url import WrongConnectionString

CONNECT_SECONDS = 3.0
"""The default limit per address, without `connect_timeout`: eight round trips of 200 ms, and a reserve."""
CLOSE_SECONDS = 0.5
KEPT_STATEMENTS = 100
AVOID_SECONDS = 30.0
"""How long an address that didn't answer comes last."""
_KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 3, "keepalives_count": 3}
_USER_TIMEOUT_MILLISECONDS = 30_000
"""A busy server may leave sent data unread for a while."""
_UNREACHABLE = (OSError, asyncpg.CannotConnectNowError, asyncpg.TargetServerAttributeNotMatched)
_WITHOUT_TLS = (ssl.SSLError, ConnectionError, asyncpg.InvalidAuthorizationSpecificationError)


@lru_cache(maxsize=500)
def _writes_events(query: str) -> bool:
    return "write_event" in query


def _with_wait_times(method: Any) -> Any:
    """Return a method of a session that notes when it began to wait for the server, and whether it writes events."""

    @wraps(method)
    async def noted(self: "Session", query: str, *arguments: Any, **options: Any) -> Any:
        self.waits_since = time.monotonic()
        self.has_written_events = self.has_written_events or _writes_events(query)
        try:
            return await method(self, query, *arguments, **options)
        finally:
            self.waits_since = None

    return noted


_NOTHING_ASKED = SimpleNamespace(name="none")
"""What the driver is given for the statement that asked about types: it took the place of no other."""
_cancelling: set[asyncio.Task[None]] = set()


def _forget(task: asyncio.Task[None]) -> None:
    """Ignore the result of a request to cancel; if it failed, the server is unavailable, and the next call raises."""
    _cancelling.discard(task)
    if not task.cancelled():
        task.exception()


class Session(asyncpg.Connection):
    """A session of the driver with access to its socket and time limit; it knows whether it waits for the server."""

    execute = _with_wait_times(asyncpg.Connection.execute)
    executemany = _with_wait_times(asyncpg.Connection.executemany)
    fetch = _with_wait_times(asyncpg.Connection.fetch)
    fetchrow = _with_wait_times(asyncpg.Connection.fetchrow)
    fetchval = _with_wait_times(asyncpg.Connection.fetchval)
    copy_records_to_table = _with_wait_times(asyncpg.Connection.copy_records_to_table)

    def __init__(self, protocol: Any, transport: asyncio.Transport, *rest: Any) -> None:
        super().__init__(protocol, transport, *rest)
        self._config: Any
        self._cancellations: set[asyncio.Task[None]]
        self.sessions: Any = None
        self.socket: socket.socket = transport.get_extra_info("socket")
        self.opened_at = self.idle_since = time.monotonic()
        self.waits_since: float | None = None
        self.has_written_events = False
        self._stmt_cache: Any
        self._stmt_cache_enabled: bool

    @property
    def is_waiting(self) -> bool:
        """Say whether the server owes an answer."""
        return self.waits_since is not None and not self.is_closed()

    def is_waiting_before(self, moment: float) -> bool:
        """Say whether the server has owed an answer since before a moment of the monotonic clock."""
        return self.is_waiting and self.waits_since is not None and self.waits_since < moment

    async def _introspect_types(self, typeoids: Collection[int], timeout: float) -> Any:  # noqa: ASYNC109 - the driver's
        """Tell the driver about types that a statement needs; ask the server only about those of a database."""
        known = [ARRAY_TYPES[oid] for oid in typeoids if oid in ARRAY_TYPES]
        if len(known) == len(typeoids):
            return known, _NOTHING_ASKED
        return await super()._introspect_types(typeoids, timeout)  # type: ignore[misc]

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the driver's own signature
        """End the session in order; if the server is silent, end this session, and those like it, at once."""
        if self.sessions is not None and self.opened_at < self.sessions.suspect_since:
            self.terminate()
            return
        try:
            await super().close(timeout=min(timeout or CLOSE_SECONDS, CLOSE_SECONDS))
        except TimeoutError:
            self.terminate()
            if self.sessions is not None:
                self.sessions.suspect_since = time.monotonic()

    def terminate(self) -> None:
        """End the session at once.

        A request to cancel its statement is still sent, or the server would go on with the statement.
        The driver sends it over another connection, and drops it when the session ends.
        """
        for task in self._cancellations:
            _cancelling.add(task)
            task.add_done_callback(_forget)
        self._cancellations.clear()
        super().terminate()

    @property
    def keeps_statements(self) -> bool:
        """Say whether prepared statements are kept for reuse."""
        return self._stmt_cache_enabled

    def keep_statements(self) -> None:
        """Keep prepared statements from now on; call it once it is known that there is no pooler."""
        self._stmt_cache.set_max_size(KEPT_STATEMENTS)
        self._stmt_cache_enabled = True

    def limit_statements(self, seconds: float) -> None:
        """Set the default limit of statements."""
        self._config = self._config._replace(command_timeout=seconds)


@dataclass
class Dialer:
    """Opens sessions by a connection string; remembers which addresses were silent.

    Each session keeps this number of prepared statements for reuse; with 0 all are unnamed.
    """

    info: ConnectionInfo
    connect_seconds: float = CONNECT_SECONDS
    kept_statements: int = KEPT_STATEMENTS
    _avoided: dict[tuple[str, int], float] = field(default_factory=dict)

    async def open(self, *, settings: Mapping[str, str], command_seconds: float | None) -> Session:
        """Open a session with the first server that answers and is of the wanted kind.

        Raises ConnectionError, which names each unreachable server, and errors of a reached server.
        """
        failures: list[str] = []
        last: BaseException | None = None
        for target in _targets(self.info.target):
            async with aclosing(self._addresses(failures)) as addresses:
                async for host, address in addresses:
                    try:
                        async with asyncio.timeout(self._limit):
                            return await self._try(host, address, target, settings, command_seconds)
                    except _UNREACHABLE as error:
                        last = error
                        failures.append(f"{host}: {self._describe(error)}")
                        if isinstance(error, TimeoutError):
                            self._avoided[address, host.port] = time.monotonic() + AVOID_SECONDS
                    except WrongConnectionString as error:
                        raise ConnectionError(str(error)) from error
        raise ConnectionError("; ".join(dict.fromkeys(failures)) or "there is no server to try") from last

    @property
    def _limit(self) -> float:
        return self.info.connect_seconds or self.connect_seconds

    def _describe(self, error: BaseException) -> str:
        if isinstance(error, TimeoutError):
            return f"no answer within {self._limit:g} s"
        return str(error).strip() or type(error).__name__

    async def _addresses(self, failures: list[str]) -> AsyncGenerator[tuple[Host, str]]:
        """Return each address of each host in order; those that were silent lately come last."""
        now = time.monotonic()
        deferred: list[tuple[Host, str]] = []
        for host in self.info.in_order():
            for address in await self._resolve(host, failures):
                if self._avoided.get((address, host.port), 0) > now:
                    deferred.append((host, address))
                else:
                    yield host, address
        for host, address in deferred:
            yield host, address

    async def _resolve(self, host: Host, failures: list[str]) -> Sequence[str]:
        if host.is_socket or host.address:
            return [host.address or host.name]
        try:
            async with asyncio.timeout(self._limit):
                found = await asyncio.get_running_loop().getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
        except OSError as error:
            failures.append(f"{host}: {self._describe(error)}")
            return []
        return list(dict.fromkeys(str(place[0]) for *_, place in found))

    async def _try(
        self, host: Host, address: str, target: str, settings: Mapping[str, str], command_seconds: float | None
    ) -> Session:
        parameters = self.info.parameters
        ladder = tls_ladder(self.info, host)
        options: dict[str, Any] = {
            "user": self.info.user,
            "database": self.info.database,
            "direct_tls": parameters.get("sslnegotiation") == "direct" and not host.is_socket,
            "krbsrvname": parameters.get("krbsrvname"),
            "gsslib": parameters.get("gsslib"),
            "target_session_attrs": target,
            "server_settings": {**settings, **self.info.server_settings()},
            "timeout": self._limit,
            "command_timeout": command_seconds,
            "statement_cache_size": self.kept_statements,
            "connection_class": Session,
        }
        for tls in ladder:
            try:
                session: Session = await asyncpg.connect(
                    **options,
                    host=address,
                    port=host.port,
                    ssl=tls or False,
                    password=self.info.password_for(host) or "",
                )
            except _WITHOUT_TLS as error:
                if tls is ladder[-1] or isinstance(error, asyncpg.InvalidPasswordError):
                    raise
            else:
                _set_options(session.socket, parameters)
                return session
        raise AssertionError("The last way returns or raises.")


def _targets(wanted: str) -> Sequence[str]:
    """Return the kinds of server to try in turn; the driver gets one server at a time."""
    return ["standby", "any"] if wanted == "prefer-standby" else [wanted]


def _set_options(opened: socket.socket, parameters: Mapping[str, str]) -> None:
    """Have the kernel detect a vanished peer within the limits set here, instead of hours."""
    if opened.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    user_timeout = int(parameters.get("tcp_user_timeout") or _USER_TIMEOUT_MILLISECONDS)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(0, user_timeout))
    if int(parameters.get("keepalives") or 1) == 0:
        return
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, option in (
        ("keepalives_idle", "TCP_KEEPIDLE"),
        ("keepalives_interval", "TCP_KEEPINTVL"),
        ("keepalives_count", "TCP_KEEPCNT"),
    ):
        seconds = int(parameters.get(name) or 0)
        if hasattr(socket, option):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds if seconds > 0 else _KEEPALIVE[name])
