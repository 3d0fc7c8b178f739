"""Imports over HTTP: posted, run by a worker, shown, and read back."""

import asyncio
import gzip
import re
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from api.examples import IMPORT_EXAMPLE
from tests.support.import_bodies import csv_type, import_body
from tests.support.imports_over_http import get, wait_until_ended
from tests.support.service import Json, api_client
from tests.support.waiting import eventually_async

PROJECT = Path(__file__).parent.parent.parent
EXAMPLE = PROJECT / "examples" / "import"
TUTORIAL = PROJECT / "docs" / "tutorial" / "first-import.md"


@pytest.fixture
async def client(start_api: Callable[..., Any], database_url: str, redis_url: str, import_settings: Json) -> Any:
    """A client of an API under those import_settings."""
    async with api_client(start_api(database_url, redis_url, **import_settings), database_url) as client:
        yield client


def body(**members: Any) -> Json:
    return import_body(
        csv_type("order", key=["customer", "line"], depends_on=["customer"]), csv_type("customer"), **members
    )


async def test_two_files_are_posted_imported_and_read_back(
    client, start_worker, database_url, redis_url, import_settings
) -> None:
    answer = await client.post(body())
    assert answer.status_code == 202, answer.text
    assert answer.json()["planned"] == {"record_types": 2, "levels": 2, "waves": None, "batches": None, "rows": None}
    job_id = answer.json()["job"]["id"]
    waiting = await get(client, f"/jobs/{job_id}")
    assert (waiting["status"], waiting["import_progress"]["coordination"]) == ("queued", None)
    start_worker(database_url, redis_url, **import_settings)
    job = await wait_until_ended(client, job_id)
    assert (job["status"], job["kind"], job["error"]) == ("completed", "import", None)
    assert job["planned"] == {"record_types": 2, "levels": 2, "waves": 2, "batches": 8, "rows": 3700}
    assert job["progress"]["completed"] == 8
    progress = job["import_progress"]
    assert progress["rows"] == {
        "expected": 3700,
        "read": 3700,
        "inserted": 3700,
        "updated": 0,
        "unchanged": 0,
        "superseded": 0,
        "rejected": 0,
    }
    assert progress["rows_per_second"] > 0
    assert progress["seconds_left"] is None
    assert [
        (record_type["id"], record_type["level"], record_type["batches"]) for record_type in progress["record_types"]
    ] == [
        ("order", 1, 5),
        ("customer", 0, 3),
    ]
    batches = (await get(client, f"/jobs/{job_id}/waves/2/batches"))["items"]
    assert [(batch["record_type"], batch["rows_expected"], batch["rows_inserted"]) for batch in batches] == [
        ("order", 500, 500)
    ] * 5
    assert {(batch["provider"], batch["region"]) for batch in batches} == {(None, None)}
    first = await get(client, "/datasets/ledger/records", record_type="customer", limit=2)
    assert [(item["record_key"], item["payload"]) for item in first["items"]] == [
        ("00001", {"id": "00001", "name": "Customer 1"}),
        ("00002", {"id": "00002", "name": "Customer 2"}),
    ]
    second = await get(client, "/datasets/ledger/records", record_type="customer", limit=2, cursor=first["next_cursor"])
    assert [item["record_key"] for item in second["items"]] == ["00003", "00004"]


async def test_imported_rows_are_downloaded_whole(
    client, start_worker, database_url, redis_url, import_settings
) -> None:
    job_id = (await client.post(body())).json()["job"]["id"]
    start_worker(database_url, redis_url, **import_settings)
    await wait_until_ended(client, job_id)
    rows = "/datasets/ledger/records?record_type=customer"
    ndjson = await client.http.get(rows, headers={"Accept": "application/x-ndjson"})
    assert len(ndjson.text.splitlines()) == 1200
    assert ndjson.text.startswith('{"record_key":"00001","payload":{"id":"00001","name":"Customer 1"}}\n')
    csv = await client.http.get(rows, headers={"Accept": "text/csv"})
    assert csv.text.splitlines()[:2] == ["record_key,payload", '00001,"{""id"":""00001"",""name"":""Customer 1""}"']
    assert len(csv.text.splitlines()) == 1201


async def test_a_dataset_without_an_import_is_not_there(client) -> None:
    answer = await client.http.get("/datasets/ledger/records", params={"record_type": "customer"})
    assert answer.status_code == 404
    assert (await client.http.get("/jobs/nothing/rejects")).status_code == 404


async def test_rejected_rows_are_listed_and_fail_their_batch_past_max_rejects(
    client, start_worker, database_url, redis_url, import_settings
) -> None:
    (import_settings["config"].parent / "data" / "customer.csv").write_text("id,name\n1,A\n1,B\n,C\n2,D\n")
    start_worker(database_url, redis_url, **import_settings)
    lenient = import_body(csv_type("customer"), policy={"max_rejects": 2})
    job_id = (await client.post(lenient)).json()["job"]["id"]
    assert (await wait_until_ended(client, job_id))["status"] == "completed"
    rejects = (await get(client, f"/jobs/{job_id}/rejects"))["items"]
    assert [(reject["position"], reject["record_key"], reject["code"]) for reject in rejects] == [
        (1, "1", "duplicate_key"),
        (2, None, "key_missing"),
    ]
    strict = import_body(csv_type("customer"), name="strict", policy={"max_rejects": 1})
    job_id = (await client.post(strict)).json()["job"]["id"]
    job = await wait_until_ended(client, job_id)
    assert (job["status"], job["error"]["code"]) == ("failed", "wave_failed")
    (batch,) = (await get(client, f"/jobs/{job_id}/waves/1/batches"))["items"]
    assert (batch["status"], batch["error"]["code"]) == ("failed", "too_many_rejects")
    assert (batch["rows_read"], batch["rows_rejected"]) == (4, 2)
    assert (await client.http.get("/datasets/strict/records", params={"record_type": "customer"})).json()["items"] == []


async def test_the_same_import_again_rewrites_nothing(
    client, start_worker, database_url, redis_url, import_settings
) -> None:
    start_worker(database_url, redis_url, **import_settings)
    for inserted in (3700, 0):
        job_id = (await client.post(body(on_duplicate="create"))).json()["job"]["id"]
        rows = (await wait_until_ended(client, job_id))["import_progress"]["rows"]
        assert (rows["inserted"], rows["updated"], rows["unchanged"]) == (inserted, 0, 3700 - inserted)


async def test_rows_that_share_a_key_in_a_file_are_distinguished_alike_by_each_import(
    client, start_worker, database_url, redis_url, import_settings
) -> None:
    """Rows 0 to 99 come again as 150 to 249 with other names, in other batches; row 5 can't be taken, so 155 is."""
    rows = [{"id": f"{n % 150:05}", "line": n % 150, "name": "\0" if n == 5 else f"Customer {n}"} for n in range(250)]
    folder = import_settings["config"].parent / "data"
    lines = "".join(f"{row['id']},{row['line']},{row['name']}\n" for row in rows)
    (folder / "customer.csv").write_text("id,line,name\n" + lines)
    (folder / "order.jsonl.gz").write_bytes(gzip.compress(b"".join(orjson.dumps(row) + b"\n" for row in rows)))
    order = {"id": "order", "key": ["id", "line"], "source": {"type": "file", "path": "order.jsonl.gz"}}
    policy = {"batch_size": 20, "max_rejects": 20}
    for _ in range(2):
        start_worker(database_url, redis_url, **import_settings)
    repeated = [n for n in range(150, 250) if n != 155]
    for inserted in (300, 0, 0):
        given = import_body(csv_type("customer"), order, policy=policy, on_duplicate="create")
        job_id = (await client.post(given)).json()["job"]["id"]
        job = await wait_until_ended(client, job_id)
        assert job["status"] == "completed"
        counts = job["import_progress"]["rows"]
        assert (counts["inserted"], counts["updated"], counts["rejected"]) == (inserted, 0, 200)
        rejects = (await get(client, f"/jobs/{job_id}/rejects", limit=200))["items"]
        for record_type, key in (("customer", "{0:05}"), ("order", '["{0:05}",{0}]')):
            assert {
                (reject["position"], reject["code"], reject["record_key"])
                for reject in rejects
                if reject["record_type"] == record_type
            } == {(5, "unusable_row", None), *((n, "duplicate_key", key.format(n - 150)) for n in repeated)}
            found = (await get(client, "/datasets/ledger/records", record_type=record_type, limit=200))["items"]
            names = [f"Customer {155 if n == 5 else n}" for n in range(150)]
            assert [item["payload"]["name"] for item in found] == names


async def test_a_file_that_is_not_there_fails_the_job_with_the_reason(
    client, start_worker, database_url, redis_url, import_settings
) -> None:
    start_worker(database_url, redis_url, **import_settings)
    job_id = (await client.post(import_body(csv_type("nothing")))).json()["job"]["id"]
    job = await wait_until_ended(client, job_id)
    assert (job["status"], job["error"]["code"]) == ("failed", "source_missing")
    assert job["progress"]["planned"] == 0


async def test_any_trigger_at_any_time_answers_the_same_waves(
    client, start_worker, database_url, redis_url, import_settings
) -> None:
    job_id = (await client.post(body())).json()["job"]["id"]
    waiting = await client.http.post(f"/jobs/{job_id}/coordinate")
    assert (waiting.status_code, waiting.json()["waves"]) == (202, [])
    start_worker(database_url, redis_url, **import_settings)
    await wait_until_ended(client, job_id)
    for _ in range(2):
        again = await client.http.post(f"/jobs/{job_id}/coordinate")
        assert (again.status_code, len(again.json()["waves"]), again.json()["trigger"]["outcome"]) == (200, 2, "joined")
    triggers = (await get(client, f"/jobs/{job_id}/coordination"))["items"]
    assert [(trigger["source"], trigger["outcome"]) for trigger in triggers] == [
        ("manual", "joined"),
        ("initial", "won"),
        ("manual", "joined"),
        ("manual", "joined"),
    ]


async def test_the_commands_of_the_tutorial_wait_for_the_rows_and_print_them(
    start_api, start_worker, database_url, redis_url
) -> None:
    tutorial = TUTORIAL.read_text()
    pasted = re.findall(r"```sh\n(.*?)```", tutorial, re.DOTALL)[0]
    (printed,) = re.findall(r"The last line prints\n\n```\n(.*?)```", tutorial, re.DOTALL)
    import_settings = {"config": EXAMPLE / "breakwater.toml"}
    async with api_client(start_api(database_url, redis_url, **import_settings), database_url) as client:
        commands = pasted.replace("http://127.0.0.1:8000", str(client.http.base_url).rstrip("/"))
        shell = await asyncio.create_subprocess_exec("sh", "-c", commands, cwd=PROJECT, stdout=PIPE, stderr=PIPE)
        await eventually_async(lambda: client.jobs("shop"), what="the import is there")
        start_worker(database_url, redis_url, **import_settings)
        output, errors = await asyncio.wait_for(shell.communicate(), 30)
    assert orjson.loads((EXAMPLE / "shop.json").read_bytes()) == IMPORT_EXAMPLE  # which /docs shows
    assert errors == b""
    shown, _, rows = output.decode().rpartition("\n}\n")
    assert orjson.loads(shown + "}")["status"] == "completed"
    assert rows == printed


async def test_the_commands_of_the_tutorial_end_if_the_import_is_refused(start_api, database_url, redis_url) -> None:
    tutorial = TUTORIAL.read_text()
    pasted = re.findall(r"```sh\n(.*?)```", tutorial, re.DOTALL)[0]
    without_imports = start_api(database_url, redis_url)
    commands = pasted.replace("http://127.0.0.1:8000", without_imports.url)
    shell = await asyncio.create_subprocess_exec("sh", "-c", commands, cwd=PROJECT, stdout=PIPE, stderr=PIPE)
    try:
        _, errors = await asyncio.wait_for(shell.communicate(), 10)
    finally:
        if shell.returncode is None:
            shell.kill()
            await shell.wait()
    assert b"was refused" in errors
