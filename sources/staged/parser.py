"""Parsing files in separate processes, under limits of memory and time that no file can exceed."""

import asyncio
import json
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runtime.python import python_command
from sources.errors import SourceError, SourceTimeout, SourceUnavailable, Unreadable, echoed
from sources.staged.staging_folder import sweep
from sources.threads import begin

MEMORY_BYTES = 512 * 1024 * 1024
"""Limit of the process's own allocations; its libraries, about 100 MB, don't count."""
SECONDS = 3600.0
"""Limit for a whole file; only a hanging file system takes longer."""
STAGED_BYTES = 20 * 1024**3
"""The largest staged form. It may also take at most half of the free space, to leave room for other users of the
disk."""
MAX_PROCESSES = 2
_EXIT_SECONDS = 5.0
_ALLOCATION = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
"""Arrow's other memory pools, and glibc's arena per thread, reserve more than is used."""
_ERROR_BY_CODE = {error.code: error for error in (*SourceError.__subclasses__(), *SourceUnavailable.__subclasses__())}


class ParserFailed(Exception):
    """The process ended without an answer and wasn't killed; the text is its standard error."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a process that reads a file."""

    memory_bytes: int = MEMORY_BYTES
    staged_bytes: int = STAGED_BYTES
    seconds: float = SECONDS


class Parser:
    """Stages files, each in a process of its own. `permits` bound the number of processes."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self.permits = asyncio.Semaphore(MAX_PROCESSES)

    async def stage(self, *, root: Path, source: Mapping[str, str], folder: Path, hidden: Sequence[Path] = ()) -> str:
        """Stage a source's file below the root, as `staging.stage` does, and return its id. May be cancelled.

        No file below a `hidden` folder is found.

        Neither the process nor unfinished files remain then. Raises SourceError: Unreadable past the limit of memory,
        SourceTimeout past that of time.
        """
        limits = {"memory_bytes": self._limits.memory_bytes, "staged_bytes": self._limits.staged_bytes}
        names = {"root": str(root), "hidden": [str(each) for each in hidden], "folder": str(folder)}
        request = {**names, "source": dict(source), **limits}
        path = source["path"]
        process = await _start(json.dumps(request))
        try:
            async with asyncio.timeout(self._limits.seconds):
                answer, log = await _output_of(process)
        except TimeoutError:
            raise SourceTimeout(f"{echoed(path)} wasn't read within {self._limits.seconds:g} seconds.") from None
        finally:
            if process.returncode != 0:
                await _remove_process(process, folder)
        if process.returncode:
            raise self._error_for_exit(path, process.returncode, log)
        return _staged_id(json.loads(answer))

    def _error_for_exit(self, path: str, status: int, log: str) -> Exception:
        """Return the error for a process that ended without an answer."""
        if status in {-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS}:
            limit = f"the {self._limits.memory_bytes >> 20} MiB of memory that reading a file may"
            return Unreadable(f"{echoed(path)} is damaged, or takes more than {limit}: write it anew, or split it.")
        if status < 0:
            name = signal.Signals(-status).name
            return SourceUnavailable(f"The process that read {echoed(path)} was ended by {name}: it is read again.")
        return ParserFailed(log)


async def _start(request: str) -> Process:
    command, ours = python_command("sources.staged.parse_file", request)
    # The file may be hostile, so the process gets neither keys nor URLs.
    environment = {"PYTHONPATH": ours["PYTHONPATH"], **_ALLOCATION}
    return await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment)


async def _output_of(process: Process) -> tuple[str, str]:
    """Return the output of a process until its end: its answer, and its standard error."""
    if process.stdout is None or process.stderr is None:
        raise ValueError("the process was started without pipes")
    answer, log, _ = await asyncio.gather(process.stdout.read(), process.stderr.read(), process.wait())
    return answer.decode(), log.decode(errors="replace")


def _staged_id(answer: dict[str, str]) -> str:
    if "code" in answer:
        raise _ERROR_BY_CODE[answer["code"]](answer["detail"])
    return answer["id"]


async def _remove_process(process: Process, folder: Path) -> None:
    """Kill the process if it runs, and remove its files; don't wait for a process that hangs in a file system."""
    with suppress(ProcessLookupError):
        process.kill()
    with suppress(TimeoutError):
        async with asyncio.timeout(_EXIT_SECONDS):
            await process.wait()
            await asyncio.wrap_future(begin("sweep", lambda: sweep(folder)))
