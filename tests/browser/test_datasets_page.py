"""Imported rows on a page: what stands there is what was imported, and text is text."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from domain.scopes import Scope
from tests.support.access import AsKey, make_key, make_tenant
from tests.support.dashboards import Dashboard, opened_dashboard
from tests.support.imports_over_http import wait_until_ended
from tests.support.service import Process

HOSTILE = "<script>document.title = 'taken'</script>"
HOSTILE_DATASET = "a/b <b>?&"
LINES = [
    {"id": 1, HOSTILE: HOSTILE, "exact": 12345678901234567.10, "inner": {"n": [1.50, None, "x"]}},
    {"id": 2, "long": "y" * 1000},
]
TABLE = "[...document.querySelectorAll('.records tbody tr')].map((row) => [...row.cells].map((cell) => cell.innerText))"


@pytest.fixture
async def importing(
    start_api: Callable[..., Process],
    start_worker: Callable[..., Process],
    database_url: str,
    redis_url: str,
    tmp_path: Path,
) -> AsyncIterator[Dashboard]:
    root = tmp_path / "root"
    root.mkdir()
    (root / "line.ndjson").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    config = tmp_path / "breakwater.toml"
    config.write_text(f'[imports]\nroot = "{root}"\n')
    api = start_api(database_url, redis_url, config=config)
    start_worker(database_url, redis_url)
    async with opened_dashboard(api, database_url, tmp_path) as dashboard:
        yield dashboard


async def test_somebody_reads_what_was_imported(importing: Dashboard) -> None:
    tab = await importing.open("/ui/datasets")
    await tab.see_text("No import has loaded anything yet.")
    source = {"type": "file", "path": "line.ndjson"}
    types = [{"id": "line", "key": ["id"], "source": source}, {"id": "again", "key": ["id"], "source": source}]
    answer = await importing.client.post({"kind": "import", "dataset": HOSTILE_DATASET, "record_types": types})
    job = await wait_until_ended(importing.client, answer.json()["job"]["id"])
    assert job["status"] == "completed"
    await tab.see_text(HOSTILE_DATASET)
    await tab.see_text("● completed")
    await importing.keeps_nobody_out(tab)
    await tab.click("tbody tr:nth-child(2) a")
    assert await tab.text_of("h1") == f"{HOSTILE_DATASET}: line"
    first, second = await tab.evaluate(TABLE)
    assert first[:5] == ["1", "1", HOSTILE, json.dumps(LINES[0]["exact"]), '{"n": [1.5, null, "x"]}']
    assert second[5] == f"{'y' * 300} … cut: 1,000 characters"
    assert HOSTILE in await tab.text_of("thead")
    await importing.keeps_nobody_out(tab)
    await tab.go(f"{importing.client.process.url}{await tab.path()}&limit=1")
    await tab.click("[rel=next]")
    [row] = await tab.evaluate(TABLE)
    assert row[0] == "2"
    await tab.click("main .actions:last-of-type a")
    assert len(await tab.evaluate(TABLE)) == 2
    assert "taken" not in await tab.title()


async def test_another_tenants_dataset_is_none(keyed_dashboard: Dashboard) -> None:
    client = keyed_dashboard.client
    await make_tenant(client.database, "acme")
    await client.database.execute(
        "INSERT INTO record_sets (tenant_no, dataset, record_type, key)"
        " SELECT tenant_no, 'erp', 'line', '{id}' FROM tenants WHERE name = 'default'"
    )
    own = AsKey(client.http, await make_key(client.database, Scope.RESULTS_READ))
    other = AsKey(client.http, await make_key(client.database, Scope.RESULTS_READ, tenant="acme"))
    assert "erp" in (await own.get("/ui/datasets")).text
    assert "erp" not in (await other.get("/ui/datasets")).text
    assert (await other.get("/ui/datasets/erp?record_type=line")).status_code == 404
