"""The process that stages a file: what it may take, and that nothing of it stays however it ends."""

import asyncio
import fcntl
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sources.errors import SourceMissing, SourceTimeout, SourceUnavailable, Unreadable
from sources.file.source import FileSource
from sources.staged.parser import MAX_PROCESSES, Limits, Parser
from tests.support.reading_sources import ParserHere, compress, held_loop_at_most, payloads, read_all
from tests.support.waiting import eventually, eventually_async

MIB = 1 << 20
LARGE_ROWS = 500_000


def parsers(parent: int | None = None) -> list[psutil.Process]:
    """The processes that parse files for this one, or for another."""
    return [
        process for process in psutil.Process(parent).children() if "sources.staged.parse_file" in process.cmdline()
    ]


def file(path: str) -> dict[str, str]:
    return {"type": "file", "path": path}


def left_in(staging: Path) -> list[str]:
    return [path.name for path in staging.glob("*")]


def begun(staging: Path) -> list[Path]:
    return list(staging.glob("*.unfinished/rows.parquet"))


async def is_begun(staging: Path) -> bool:
    return bool(begun(staging))


@pytest.fixture(scope="module")
def large_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.jsonl.gz"
    line = b'{"id": %d, "t": "' + random.Random(1).randbytes(40).hex().encode() + b'"}\n'
    compress(path, b"".join(line % number for number in range(LARGE_ROWS)))
    return path


@pytest.fixture
def large(root, large_file) -> str:
    """A file that takes a second to stage."""
    (root / large_file.name).hardlink_to(large_file)
    return large_file.name


async def test_a_file_is_staged_by_a_process_that_others_cannot_read_from(root, staging):
    (root / "rows.csv").write_text("id\n1\n")
    source = FileSource(root=root, path="rows.csv", staging_folder=staging)
    assert payloads(await read_all(source, await source.ranges(["id"], 5))) == [{"id": "1"}]
    await source.aclose()
    (staged,) = staging.glob("v*")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (staging, staged, *staged.iterdir())}
    assert modes == {"staging": 0o700, staged.name: 0o700, "rows.parquet": 0o600, "about.json": 0o600}
    assert parsers() == []


async def test_staging_is_stopped_at_once_holds_no_loop_and_leaves_nothing(root, staging, large):
    source = FileSource(root=root, path=large, staging_folder=staging)
    async with held_loop_at_most(0.5):
        counting = asyncio.create_task(source.count())
        await eventually_async(lambda: is_begun(staging), seconds=30)
        cancelled = time.perf_counter()
        counting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await counting
    assert time.perf_counter() - cancelled < 1
    assert (left_in(staging), parsers()) == ([], [])
    assert await source.count() == LARGE_ROWS  # it can be used again
    await source.aclose()


STAGE_AND_SAY = """
import asyncio, sys
from pathlib import Path
from sources.staged.parser import Parser
source = {"type": "file", "path": sys.argv[2]}
asyncio.run(Parser().stage(root=Path(sys.argv[1]), source=source, folder=Path(sys.argv[3])))
"""


def test_a_killed_process_takes_its_parser_along(root, staging, large):
    worker = subprocess.Popen([sys.executable, "-c", STAGE_AND_SAY, str(root), large, str(staging)])
    eventually(lambda: begun(staging), seconds=30)
    (parser,) = parsers(worker.pid)
    worker.kill()
    worker.wait()
    parser.wait(10)
    assert left_in(staging) == []


async def test_a_parser_that_is_killed_is_a_source_that_is_unavailable_for_now(root, staging, large):
    staged = asyncio.create_task(Parser().stage(root=root, source=file(large), folder=staging))
    await eventually_async(lambda: is_begun(staging), seconds=30)
    (parser,) = parsers()
    parser.kill()
    with pytest.raises(SourceUnavailable, match=r'read "large\.jsonl\.gz" was ended by SIGKILL'):
        await staged
    assert left_in(staging) == []


async def test_staging_removes_unfinished_files_of_dead_processes_and_keeps_those_of_living_ones(root, staging):
    (root / "rows.csv").write_text("id\n1\n")
    for name in ("dead.unfinished", "living.unfinished"):
        (staging / name).mkdir(parents=True)
        (staging / name / "owner").touch()
    staging.chmod(0o700)
    with (staging / "living.unfinished" / "owner").open() as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        staged_id = await Parser().stage(root=root, source=file("rows.csv"), folder=staging)
    assert sorted(left_in(staging)) == ["living.unfinished", staged_id]


@pytest.mark.parametrize(
    ("limits", "error", "why"),
    [
        (Limits(memory_bytes=60 * MIB), Unreadable, "more than the 60 MiB of memory.*or split it"),
        (
            Limits(staged_bytes=MIB),
            Unreadable,
            "more than 1 MiB, or half of what is free, in the staging folder",
        ),
        (Limits(seconds=0.01), SourceTimeout, r"wasn't read within 0\.01 seconds"),
    ],
)
async def test_a_file_that_takes_more_than_it_may_is_reported_and_leaves_nothing(root, staging, limits, error, why):
    (root / "rows.csv").write_text("id,v\n1," + random.Random(2).randbytes(5 * MIB).hex() + "\n")
    with pytest.raises(error, match=f'^"rows.csv".*{why}'):
        await Parser(limits).stage(root=root, source=file("rows.csv"), folder=staging)
    assert (left_in(staging), parsers()) == ([], [])


async def test_the_parsing_process_reports_the_error_of_a_source_unchanged(root, staging):
    with pytest.raises(SourceMissing, match=r'no file "nothing\.csv"'):
        await Parser().stage(root=root, source=file("nothing.csv"), folder=staging)
    assert not staging.exists()


async def test_the_process_knows_no_secrets_of_ours(root, staging, large, monkeypatch):
    monkeypatch.setenv("ERP_URL", "postgresql://user:secret@host/erp")
    staged = asyncio.create_task(Parser().stage(root=root, source=file(large), folder=staging))
    await eventually_async(lambda: is_begun(staging), seconds=30)
    (parser,) = parsers()
    environment = parser.environ()
    staged.cancel()
    with pytest.raises(asyncio.CancelledError):
        await staged
    assert environment.keys() <= {"PYTHONPATH", "ARROW_DEFAULT_MEMORY_POOL", "MALLOC_ARENA_MAX", "LC_CTYPE"}


async def test_few_files_are_staged_at_a_time(root, staging):
    class Counting(ParserHere):
        running = most = 0

        async def stage(self, **wanted) -> str:
            self.running += 1
            self.most = max(self.most, self.running)
            await asyncio.sleep(0)
            staged_id = await super().stage(**wanted)
            self.running -= 1
            return staged_id

    parser = Counting()

    async def survey(number: int) -> None:
        (root / f"{number}.csv").write_text(f"id\n{number}\n")
        source = FileSource(root=root, path=f"{number}.csv", staging_folder=staging, parser=parser)
        async with source.survey_permit:
            await source.ranges(["id"], 1)
        await source.aclose()

    await asyncio.gather(*map(survey, range(MAX_PROCESSES + 3)))
    assert parser.most == MAX_PROCESSES
