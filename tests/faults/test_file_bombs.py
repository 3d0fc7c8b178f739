"""Files that become huge when they are read: each ends with a clear error, costs its service little, and is gone."""

import gzip
import re
from pathlib import Path

import psutil
import pytest

from tests.support.import_bodies import configured, csv_type, import_body
from tests.support.service import Process, api_client
from tests.support.waiting import eventually, eventually_async

MIB = 1 << 20
GROWTH_BYTES = 300 * MIB


def quoted_lines(path: Path, lines: int) -> None:
    """One quoted value of so many lines, which take a byte each, and a thousandth of that with gzip."""
    with gzip.open(path, "wb", 9) as file:
        file.write(b'id,v\n1,"')
        for _ in range(0, lines, MIB):
            file.write(b"\n" * MIB)
        file.write(b'"\n2,b\n')


def columns(path: Path, count: int) -> None:
    with gzip.open(path, "wb") as file:
        file.write(",".join(f"c{number}" for number in range(count)).encode() + b"\n" + b",".join([b"1"] * count))


def file_type(type_id: str, name: str) -> dict:
    return {**csv_type(type_id), "source": {"type": "file", "path": name}}


class Memory:
    """How far a process has grown since this was made."""

    def __init__(self, process: Process) -> None:
        self.process = psutil.Process(process.pid)
        self._before = self._peak()

    @property
    def growth_bytes(self) -> int:
        return self._peak() - self._before

    def _peak(self) -> int:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        return 1024 * int(found[1])


@pytest.fixture
def settings(tmp_path) -> dict:
    return {"config": configured(tmp_path), "data_dir": tmp_path / "state", "workers": 1}


@pytest.fixture
def api(start_api, database_url, redis_url, settings):
    return start_api(database_url, redis_url, **settings)


@pytest.fixture
def worker(start_worker, database_url, redis_url, settings):
    worker = start_worker(database_url, redis_url, **settings)
    eventually(lambda: worker.events("worker_started"), seconds=30)
    return worker


@pytest.mark.parametrize("lines", [20_000_000, pytest.param(750_000_000, marks=pytest.mark.long)])
async def test_a_bomb_ends_with_a_clear_error_while_others_go_on_and_nothing_of_it_stays(
    api, worker, database_url, tmp_path, lines
) -> None:
    quoted_lines(tmp_path / "data" / "lines.csv.gz", lines)
    columns(tmp_path / "data" / "columns.csv.gz", 60_000)
    (tmp_path / "data" / "good.csv").write_text("id\n" + "".join(f"{number}\n" for number in range(2000)))
    grown = [Memory(process) for process in (api, worker)]
    wanted = {
        "lines.csv.gz": r"record that begins in line 2 is longer than 16 MiB\. Shorten it",
        "columns.csv.gz": "first line names 60000 columns, more than 2000: split it",
    }
    async with api_client(api, database_url) as client:
        for name, why in wanted.items():
            preview = await client.post(import_body(file_type("bomb", name)), dry_run=True)
            (planned,) = preview.json()["planned"]["by_record_type"]
            assert planned["error"]["code"] == "unreadable"
            assert re.search(f'^"{name}": .*{why}', planned["error"]["detail"])
        bodies = [import_body(file_type("bomb", name)) for name in wanted]
        *bombs, good = await imported(client, *bodies, import_body(csv_type("good")))
    assert good["status"] == "completed"
    for bomb, why in zip(bombs, wanted.values(), strict=True):
        assert (bomb["status"], bomb["error"]["code"]) == ("failed", "unreadable")
        assert re.search(why, bomb["error"]["detail"])
    assert max(memory.growth_bytes for memory in grown) < GROWTH_BYTES
    assert [child for memory in grown for child in memory.process.children()] == []
    staged = [path.name.split("-")[1] for path in (tmp_path / "state" / "breakwater-staging").glob("*-*")]
    assert staged == ["csv"]  # the good one's


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_rows_of_megabytes_are_imported_within_the_same_memory(api, worker, database_url, tmp_path) -> None:
    files = {
        "text.csv": [b"id,v\n", *(b"%d,%b\n" % (number, b"z" * MIB) for number in range(200))],
        "emoji.csv": [b"id,v\n", *(b"%d,%b\xf0\x9f\x98\x80\n" % (number, b"z" * MIB) for number in range(100))],
        "lists.jsonl": [b'{"id": %d, "v": [%b1]}\n' % (number, b"[]," * 300_000) for number in range(50)],
        "wide.csv": [
            b",".join([b"id", *(b"c%d" % number for number in range(1599))]) + b"\n",
            *(b"%d%b\n" % (number, b",xyz" * 1599) for number in range(2000)),
        ],
    }
    for name, lines in files.items():
        (tmp_path / "data" / name).write_bytes(b"".join(lines))
    grown = Memory(worker)
    async with api_client(api, database_url) as client:
        for name in files:
            (job,) = await imported(client, import_body(file_type("large", name), policy={"batch_size": 10_000}))
            assert (job["status"], job["import_progress"]["rows"]["rejected"]) == ("completed", 0)
            print(f"\n{name}: the worker has grown by {grown.growth_bytes // MIB} MiB")  # noqa: T201
    assert grown.growth_bytes < GROWTH_BYTES


async def imported(client, *bodies: dict) -> list[dict]:
    """The jobs of these imports, which run side by side, once each has ended."""
    ids = [(await client.post(body)).json()["job"]["id"] for body in bodies]
    return [await ended(client, job_id) for job_id in ids]


async def ended(client, job_id: str) -> dict:
    async def look():
        job = (await client.http.get(f"/jobs/{job_id}")).json()
        return job if job["status"] in {"completed", "partial", "failed"} else None

    return await eventually_async(look, seconds=300)
