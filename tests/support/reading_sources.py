"""Making files to import, and reading sources whole."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Container, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyarrow import parquet

from domain.table_names import TableName
from sources.mysql.connection import MysqlConnection
from sources.protocol import Source, SourceRow, Survey
from sources.sql.session import SqlConnection
from sources.staged.parser import Parser
from sources.staged.paths import open_inside
from sources.staged.staging import stage
from sources.staged.staging_folder import make_own, sweep, workspace
from sources.tables.connection import SessionLimits


class ParserHere(Parser):
    """Stages in this process, since starting one for each of a thousand small files takes minutes."""

    async def stage(self, *, root: Path, source: Mapping[str, str], folder: Path, hidden: Sequence[Path] = ()) -> str:
        with open_inside(root, source["path"], hidden=hidden) as file:
            make_own(folder)
            sweep(folder)
            with workspace(folder) as unfinished:
                return stage(file=file, source=source, root=root, folder=folder, workspace=unfinished)


def make(path: Path, query: str, options: str = "") -> None:
    """Write the rows of a DuckDB query to a file of the format of its name's ending."""
    with duckdb.connect(":memory:", config={"threads": 1}) as engine:
        engine.execute(f"COPY ({query}) TO '{path}' {options}")


def compress(path: Path, content: bytes) -> None:
    """Write a file as its name wants it: plain, with gzip, or with Zstandard."""
    match path.suffix:
        case ".gz":
            path.write_bytes(gzip.compress(content, 1))
        case ".zst":
            path.write_bytes(pa.Codec("zstd").compress(content, asbytes=True))
        case _:
            path.write_bytes(content)


def staged_rows(staged: Path) -> list[tuple[Any, ...]]:
    """The rows of a staged form, as Arrow reads them."""
    columns = parquet.read_table(staged).to_pydict().values()
    return list(zip(*columns, strict=True))


async def read_all(source: Source, survey: Survey) -> list[SourceRow]:
    """Every row of a survey, range by range."""
    return [row for part in survey.ranges for row in await source.read(part.range)]


@asynccontextmanager
async def held_loop_at_most(seconds: float) -> AsyncIterator[None]:
    """Fail if the event loop was not served for longer than this within the block."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - before)

    ticking = asyncio.create_task(tick())
    yield
    ticking.cancel()
    assert longest < seconds, f"the loop stood still for {longest:.3f} s"


class EveryTable(Container[TableName]):
    """A list of all tables there are, for tests of how tables are read."""

    def __contains__(self, _: object) -> bool:
        return True


def sql_connection(url: str, tables: Container[TableName] = EveryTable(), **limits: float) -> SqlConnection:
    """A connection called `erp` that may read these tables; to be closed."""
    return SqlConnection(url, name="erp", tables=tables, limits=SessionLimits(**limits))  # type: ignore[arg-type]


@asynccontextmanager
async def mysql_connection(url: str, *tables: str, **limits: float) -> AsyncIterator[MysqlConnection]:
    """A connection called `shop` that may read these tables."""
    listed = frozenset(table for table in map(TableName.parse, tables) if table is not None)
    connection = MysqlConnection(url, name="shop", tables=listed, limits=SessionLimits(**limits))  # type: ignore[arg-type]
    try:
        yield connection
    finally:
        await connection.aclose()


def in_role(url: str, name: str) -> str:
    """A database's URL for sessions with the rights of a role; the engines of tests let one account in."""
    return f"{url}{'&' if '?' in url else '?'}options=-c%20role%3D{name}"


def payloads(rows: list[SourceRow]) -> list[dict[str, Any]]:
    """What the rows hold."""
    return [row.payload for row in rows]
