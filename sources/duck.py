"""DuckDB in a thread of its own: imported when first used, with little memory, and stopped when its caller is."""

import asyncio
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sources.errors import SourceError, SourceUnavailable, Unreadable

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

T = TypeVar("T")
_INTERRUPT_AGAIN_SECONDS = 0.05
_DESCRIPTOR = re.compile(r"['\"]?/dev/fd/\d+['\"]?")
"""The name that an open file goes by here; it says nothing to anybody."""


class Stopped(Exception):
    """The caller was cancelled while its work was between two statements."""


@dataclass(frozen=True, slots=True)
class Session:
    """What work in the thread may use: a connection of its own, and the wish to stop."""

    connection: "DuckDBPyConnection"
    stop: threading.Event

    def go_on(self) -> None:
        """Raise Stopped once the caller was cancelled; to be called between the steps of long work."""
        if self.stop.is_set():
            raise Stopped


class Duck:
    """One engine, one thread. `memory_limit` is in DuckDB's spelling and bounds its buffers, not the process."""

    def __init__(self, *, memory_limit: str, spill_folder: Path) -> None:
        self._config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory_limit,
            "threads": 1,
            "temp_directory": str(spill_folder),
            # Nothing is fetched, whatever a file holds.
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="duckdb")
        self._engine: DuckDBPyConnection | None = None

    async def run(self, work: Callable[[Session], T]) -> T:
        """Return what `work` returns; one at a time. When the caller is cancelled the work is stopped within moments.

        Raises SourceError: Unreadable for what DuckDB refuses, SourceUnavailable for what the disk refuses.
        """
        stop = threading.Event()
        sessions: list[Session] = []
        running = asyncio.get_running_loop().run_in_executor(self._thread, self._work, work, stop, sessions)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            stop.set()
            # An interrupt that comes just before a statement starts is forgotten by it, hence again and again.
            while not running.done():
                for session in sessions:
                    session.connection.interrupt()
                await asyncio.wait({running}, timeout=_INTERRUPT_AGAIN_SECONDS)
            running.exception()
            raise

    async def aclose(self) -> None:
        """Let go of the engine and its thread."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    def _work(self, work: Callable[[Session], T], stop: threading.Event, sessions: list[Session]) -> T:
        import duckdb  # noqa: PLC0415 (it costs 40 MB, and most workers never import a file)

        if stop.is_set():
            raise Stopped
        if self._engine is None:
            self._engine = duckdb.connect(":memory:", config=self._config)
            self._engine.execute("SET GLOBAL TimeZone = 'UTC'; SET GLOBAL parquet_metadata_cache = true")
        with self._engine.cursor() as connection:
            sessions.append(Session(connection, stop))
            try:
                return work(sessions[0])
            except duckdb.InterruptException:
                raise Stopped from None
            except duckdb.Error as error:
                raise _told(error) from error
            finally:
                sessions.clear()

    def _close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None


def _told(error: Exception) -> SourceError:
    """Return what DuckDB refused as an error of ours. Only its first line: the others show what a file holds."""
    first_line = _DESCRIPTOR.sub("the file", str(error).splitlines()[0])
    if "No space left" in first_line or "Disk quota" in first_line:
        return SourceUnavailable("The disk of the staging folder is full.")
    if first_line.startswith("Out of Memory"):
        return Unreadable("DuckDB needs more than its limit of memory: write the file with smaller row groups.")
    return Unreadable(f"DuckDB can't read it: {first_line}")
