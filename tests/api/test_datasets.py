"""Datasets are found under any name, with their contents."""

from urllib.parse import quote

import httpx2
import pytest

from db.engine import Engine
from tests.support.import_steps import ImportSteps, import_keys
from tests.support.job_seeds import Seeds
from tests.support.reading_app import every_item

ODD_NAMES = ("a/b", "a", "/", "a/records", "50% of it?", "a b#c", "größe", "a%41b", "x" * 200)


@pytest.fixture
def ledger(engine: Engine) -> ImportSteps:
    return ImportSteps(engine)


async def test_datasets_are_listed_with_their_record_types_and_their_last_imports(
    reader: httpx2.AsyncClient, ledger: ImportSteps, rows
) -> None:
    assert (await reader.get("/datasets")).json() == {"items": [], "next_cursor": None}
    await import_keys(ledger, ["1"], dataset="shop")
    last = await import_keys(ledger, ["1"], dataset="shop")
    gone = await import_keys(ledger, ["1"], dataset="erp")
    await rows.execute("DELETE FROM jobs WHERE job_no = $1", gone)
    erp, shop = (await reader.get("/datasets")).json()["items"]
    assert (erp["name"], erp["record_types"][0]["last_import"]) == ("erp", None)
    (record_type,) = shop["record_types"]
    assert (shop["name"], record_type["id"]) == ("shop", "type-0")
    job = await rows.fetchrow("SELECT id FROM jobs WHERE job_no = $1", last)
    assert (record_type["last_import"]["job_id"], record_type["last_import"]["status"]) == (job["id"], "completed")
    assert record_type["last_import"]["planned_at"] < record_type["last_import"]["finished_at"]


async def test_every_dataset_is_on_one_page_and_leads_to_its_rows(
    reader: httpx2.AsyncClient, ledger: ImportSteps
) -> None:
    for name in ODD_NAMES:
        await import_keys(ledger, [f"of {name}"], dataset=name)
    found = await every_item(reader, "/datasets", limit=3)
    assert sorted(item["name"] for item in found) == sorted(ODD_NAMES)
    for item in found:
        (record,) = (await reader.get(item["record_types"][0]["records"])).json()["items"]
        assert record["record_key"] == f"of {item['name']}"
        shown = await reader.get(f"/ui/datasets/{quote(item['name'], safe='')}", follow_redirects=True)
        assert shown.status_code == 200, item["name"]
        assert f"of {item['name']}" in shown.text


async def test_another_tenants_datasets_are_not_there(reader: httpx2.AsyncClient, ledger: ImportSteps, rows) -> None:
    await import_keys(ledger, ["1"], dataset="shop")
    await rows.execute("INSERT INTO tenants (name) VALUES ('other')")
    await rows.execute("UPDATE record_sets SET tenant_no = (SELECT tenant_no FROM tenants WHERE name = 'other')")
    assert (await reader.get("/datasets")).json()["items"] == []
    assert (await reader.get("/datasets/shop/records")).status_code == 404


@pytest.mark.parametrize("name", ["shop", "a/b"])
async def test_rows_without_a_record_type_name_those_that_there_are(
    reader: httpx2.AsyncClient, ledger: ImportSteps, name: str
) -> None:
    await import_keys(ledger, ["1"], dataset=name)
    answer = await reader.get(f"/datasets/{quote(name, safe='')}/records")
    assert (answer.status_code, answer.json()["code"]) == (422, "record_type_missing")
    (error,) = answer.json()["errors"]
    assert (error["parameter"], error["allowed"]) == ("record_type", ["type-0"])
    assert "type-0" in error["detail"]


async def test_an_impossible_name_of_a_dataset_is_refused(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    for path, status in (
        ("/datasets/nothing/records", 404),
        ("/datasets/nothing/records?record_type=a", 404),
        ("/datasets//records?record_type=a", 422),
        ("/datasets/%00/records?record_type=a", 422),
        (f"/datasets/{'x' * 201}/records?record_type=a", 422),
        ("/datasets?cursor=WzEsInJlY29yZHMiLCJhIl0", 422),
        ("/datasets/nothing", 404),
    ):
        assert (await reader.get(path)).status_code == status, path
