"""One session of a MySQL server: every value comes as the text that the server writes, or as the bytes that it holds.

The driver blocks, so it works in a thread of its own for each call. A caller that stops waiting shuts the session's
socket down, which ends the thread, and has the server end the statement.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

import pymysql

from domain.mysql_url import MysqlUrl, TlsMode
from sources.threads import begin

Row: TypeAlias = tuple[Any, ...]
"""Values as bytes, None for null."""
Result = TypeVar("Result")
KILL_SECONDS = 5.0
"""Of each wait in ending a statement: to connect, to send, for an answer."""


class Session:
    """A session, for one call at a time.

    Calls have limits of their own. `answer_seconds` bounds each wait for the server in a session without a waiting
    caller.
    """

    def __init__(self, url: MysqlUrl, *, connect_seconds: float, answer_seconds: float | None = None) -> None:
        self._url = url
        self._connect_seconds = connect_seconds
        self._answer_seconds = answer_seconds
        self._driver: Any = None
        self._way_out: socket.socket | None = None
        self._has_ended = False

    @property
    def is_mariadb(self) -> bool:
        """Whether the server is a MariaDB; some of its settings have other names."""
        return "MariaDB" in self._driver.get_server_info()

    async def open(self) -> None:
        """Connect. Raises the driver's errors, and TimeoutError if the server doesn't answer."""
        await self._call(self._connect, self._connect_seconds)

    async def fetch(self, statement: str, *, seconds: float) -> Sequence[Row]:
        """Return the rows of a statement. One that is left before its answer ends the session, here and there."""
        return await self._call(lambda: self._query(statement), seconds)

    def end(self) -> None:
        """End the session, even during a statement."""
        self._has_ended = True
        if self._way_out is not None:
            with suppress(OSError):  # the server may have ended it
                self._way_out.shutdown(socket.SHUT_RDWR)
            self._way_out.close()
            self._way_out = None

    def close(self) -> None:
        """End an idle session in order."""
        if self.is_open:
            with suppress(pymysql.Error, OSError):
                self._driver.close()
        self.end()

    @property
    def is_open(self) -> bool:
        """Whether it can be used again, for all that is known."""
        return not self._has_ended and self._driver is not None and self._driver.open

    async def _call(self, work: Callable[[], Result], seconds: float) -> Result:
        waiting = asyncio.wrap_future(begin("mysql", work))
        try:
            async with asyncio.timeout(seconds):
                return await waiting
        except (TimeoutError, asyncio.CancelledError):
            self.end()
            self._kill()
            raise

    def _query(self, statement: str) -> Sequence[Row]:
        with self._driver.cursor() as cursor:
            cursor.execute(statement)
            rows: Sequence[Row] = cursor.fetchall()
            return rows

    def _connect(self) -> None:
        url = self._url
        if url.socket is not None:
            way = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            way.settimeout(self._connect_seconds)
            way.connect(url.socket)
        else:
            way = socket.create_connection((url.host, url.port), self._connect_seconds)
            way.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            way.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._way_out = way.dup()
        if self._has_ended:  # no caller waits any more
            raise TimeoutError
        driver = pymysql.Connection(
            host=url.host,
            user=url.user,
            password=url.password,
            database=url.database,
            charset="utf8mb4",
            conv={},
            use_unicode=False,
            autocommit=True,
            program_name="breakwater import",
            defer_connect=True,
            read_timeout=self._answer_seconds,
            write_timeout=self._answer_seconds,
            **_tls(url),
        )
        driver.connect(way)
        self._driver = driver

    def _kill(self) -> None:
        """Have the server end this session's statement, since it doesn't notice that its client is gone."""
        if self._driver is None:
            return
        thread_id = self._driver.thread_id()

        def kill() -> None:
            other = Session(self._url, connect_seconds=KILL_SECONDS, answer_seconds=KILL_SECONDS)
            with suppress(Exception):  # the statement has a limit of its own there
                other._connect()
                other._query(f"KILL {thread_id:d}")
            other.end()

        begin("mysql-kill", kill)


def _tls(url: MysqlUrl) -> dict[str, Any]:
    """Return the driver's settings. Without any, it takes TLS where the server offers it and checks no certificate."""
    if url.socket is not None or url.tls is TlsMode.DISABLED:
        return {"ssl_disabled": True}
    if url.tls is TlsMode.PREFERRED and not url.certificate:
        return {}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = url.tls is TlsMode.VERIFY_IDENTITY
    context.verify_mode = (
        ssl.CERT_REQUIRED if url.tls in {TlsMode.VERIFY_CA, TlsMode.VERIFY_IDENTITY} else ssl.CERT_NONE
    )
    if context.verify_mode is ssl.CERT_REQUIRED:
        if url.ca:
            context.load_verify_locations(url.ca)
        else:
            context.load_default_certs()
    if url.certificate:
        context.load_cert_chain(url.certificate, url.key)
    return {"ssl": context}
