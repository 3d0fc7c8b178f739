"""A cache of the sources that are open in this worker, so that a batch doesn't open its source again."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

from domain.sources.source import Source as SourceSpec
from sources.protocol import Source

OpenSource: TypeAlias = Callable[[SourceSpec], Source]
OpenIdentity: TypeAlias = Callable[[SourceSpec, int | None], Source]
"""Opens a source of exactly the identity with this number."""
KEPT = 3
"""Idle sources that stay open: an engine for files takes tens of megabytes."""


@dataclass(slots=True)
class _Opened:
    source: Source
    readers: int = 0


class OpenSources:
    """An LRU cache of open sources by job; a source that is being read stays."""

    def __init__(self, open_source: OpenIdentity) -> None:
        self._open_source = open_source
        self._opened: OrderedDict[tuple[int, SourceSpec, int | None], _Opened] = OrderedDict()

    @asynccontextmanager
    async def open(self, job_no: int, spec: SourceSpec, identity_no: int | None) -> AsyncIterator[Source]:
        """Lend the job's source of this identity, and open it if needed. Raises SourceError."""
        key = job_no, spec, identity_no
        opened = self._opened.get(key)
        if opened is None:
            opened = self._opened[key] = _Opened(self._open_source(spec, identity_no))
        self._opened.move_to_end(key)
        opened.readers += 1
        try:
            yield opened.source
        finally:
            opened.readers -= 1
            await self._close_unused()

    async def aclose(self) -> None:
        """Close all of them."""
        while self._opened:
            _, opened = self._opened.popitem()
            await opened.source.aclose()

    async def _close_unused(self) -> None:
        unused = [key for key, opened in self._opened.items() if not opened.readers]
        # All are taken out before the first is closed: closing awaits, and other callers may open or close meanwhile.
        closing = [self._opened.pop(key) for key in unused[: max(0, len(self._opened) - KEPT)]]
        for opened in closing:
            await opened.source.aclose()
