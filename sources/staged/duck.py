"""DuckDB in a thread of its own: imported when first used, limited in memory, and stopped with its caller."""

import asyncio
import errno
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from sources.errors import SourceError, SourceTimeout, SourceUnavailable, Unreadable
from sources.threads import begin

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

T = TypeVar("T")
Setting: TypeAlias = str | bool | int | float | list[str]
_INTERRUPT_AGAIN_SECONDS = 0.05
_PATH = re.compile(r"""/dev/fd/\d+|"/[^"]*"|'/[^']*'""")
"""A file name in DuckDB's errors: a meaningless name of an open file, or a path of the worker's machine."""
_DISK_FAILURES = tuple(
    os.strerror(number)
    for number in (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.ESTALE,
        errno.EACCES,
        errno.EROFS,
        errno.ENOTDIR,
        errno.EMFILE,
        errno.ENFILE,
    )
)
"""Errors of the disk that DuckDB passes on; the imported file isn't their cause."""


class Stopped(Exception):
    """The caller was cancelled while its work was between two statements."""


@dataclass(frozen=True, slots=True)
class Session:
    """The context of work in the thread: a connection of its own, and whether it has to stop."""

    connection: "DuckDBPyConnection"
    stop: threading.Event

    def go_on(self) -> None:
        """Raise Stopped if the caller was cancelled; call this between the steps of long work."""
        if self.stop.is_set():
            raise Stopped


class _Engine:
    """DuckDB, opened when first used; `is_abandoned` once its work didn't stop in time."""

    def __init__(self, config: Mapping[str, Setting]) -> None:
        self._config = dict(config)
        self._connection: DuckDBPyConnection | None = None
        self.is_abandoned = False

    def work(self, work: Callable[[Session], T], stop: threading.Event, sessions: list[Session]) -> T:
        """Return the result of `work`; for one thread at a time. Raises SourceError."""
        import duckdb  # noqa: PLC0415 (it costs 40 MB, and most workers never import a file)

        if stop.is_set():
            raise Stopped
        try:
            if self._connection is None:
                self._connection = duckdb.connect(":memory:", config=self._config)
                self._connection.execute("SET GLOBAL TimeZone = 'UTC'; SET GLOBAL parquet_metadata_cache = true")
            with self._connection.cursor() as connection:
                sessions.append(Session(connection, stop))
                try:
                    return work(sessions[0])
                finally:
                    sessions.clear()  # before the cursor is closed, which then takes no interrupt
        except duckdb.InterruptException:
            raise Stopped from None
        except duckdb.Error as error:
            raise _explained(error) from error
        except OSError as error:
            raise _unavailable(error.strerror or type(error).__name__) from error
        finally:
            if self.is_abandoned:
                self.close()

    def close(self) -> None:
        """Free its memory."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Duck:
    """One engine, one thread at a time. `memory_limit` is in DuckDB's spelling and bounds its buffers, not the process.

    The threads are daemons: a thread blocked by a file system must not keep the process from ending.
    """

    def __init__(self, *, memory_limit: str, spill_folder: Path, stop_seconds: float = 5) -> None:
        self._config: dict[str, Setting] = {
            "memory_limit": memory_limit,
            "threads": 1,
            "temp_directory": str(spill_folder),
            # No file can make DuckDB fetch anything.
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        self._stop_seconds = stop_seconds
        self._engine = _Engine(self._config)
        self._one_at_a_time = asyncio.Lock()

    async def run(self, work: Callable[[Session], T], *, limit_seconds: float | None = None) -> T:
        """Return the result of `work`; one call at a time, and waiting for other calls doesn't count against the limit.

        When the caller is cancelled the work is stopped within moments. Work that doesn't stop, since a file system
        hangs, is abandoned after `stop_seconds`, with its engine.

        Raises SourceError: Unreadable for errors of DuckDB, SourceUnavailable for errors of the disk,
        SourceTimeout past the limit.
        """
        async with self._one_at_a_time:
            stop = threading.Event()
            sessions: list[Session] = []
            engine = self._engine
            running = asyncio.wrap_future(begin("duckdb", lambda: engine.work(work, stop, sessions)))
            try:
                await asyncio.wait({running}, timeout=limit_seconds)
            finally:
                if not running.done():
                    stop.set()
                    await self._stopped(running, sessions)
            if stop.is_set():
                raise SourceTimeout(f"The file gave no answer within {limit_seconds:g} seconds.")
            return running.result()

    async def aclose(self) -> None:
        """Close the engine."""
        async with self._one_at_a_time:
            await asyncio.wrap_future(begin("duckdb", self._engine.close))

    async def _stopped(self, running: "asyncio.Future[T]", sessions: Sequence[Session]) -> None:
        """Interrupt the work until it ends, or for `stop_seconds` at most; then go on without it."""
        deadline = time.monotonic() + self._stop_seconds
        try:
            # A statement ignores an interrupt that came just before it started, so the interrupt is repeated.
            while not running.done() and time.monotonic() < deadline:
                for session in list(sessions):
                    with suppress(Exception):  # it may be closed by now
                        session.connection.interrupt()
                await asyncio.wait({running}, timeout=_INTERRUPT_AGAIN_SECONDS)
        finally:
            if running.done():
                running.exception()
            else:
                self._engine.is_abandoned = True
                self._engine = _Engine(self._config)
                running.cancel()


def _explained(error: Exception) -> SourceError:
    """Return a SourceError for an error of DuckDB, with its first line only: the others show contents of the file."""
    first_line = _PATH.sub("the file", str(error).splitlines()[0])
    for failure in _DISK_FAILURES:
        if failure in first_line:
            return _unavailable(failure)
    if first_line.startswith("Out of Memory"):
        return Unreadable(
            "Its rows take more memory than reading them may: lower policy.batch_size, or split the file."
        )
    return Unreadable(f"DuckDB can't read it: {first_line}")


def _unavailable(failure: str) -> SourceUnavailable:
    return SourceUnavailable(f"The file, or the folder it is staged in, can't be used for the moment ({failure}).")
