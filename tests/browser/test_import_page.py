"""An import on its job's page: what depends on what, how far it is, what was rejected, and who coordinated it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.dashboards import Dashboard, opened_dashboard
from tests.support.service import Process

HOSTILE = "<script>document.title = 'taken'</script>"
NODES = "[...document.querySelectorAll('.graph .node')].map((node) => node.querySelector('title').textContent)"
LINES = "document.querySelectorAll('.graph path').length"


@pytest.fixture
async def shop(
    start_api: Callable[..., Process], database_url: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[Dashboard]:
    root = tmp_path / "root"
    root.mkdir()
    (root / "customer.csv").write_text("id,name\nC1,Ada\nC2,Grace\n")
    (root / "order.csv").write_text(f"{HOSTILE},customer\nO1,C1\n,C2\nO3,C2\n")
    (root / "line.csv").write_text("id\nL1\n")
    config = tmp_path / "breakwater.toml"
    config.write_text(f'[imports]\nroot = "{root}"\n')
    async with opened_dashboard(start_api(database_url, redis_url, config=config), database_url, tmp_path) as dashboard:
        yield dashboard


def record_type(name: str, key: str = "id", *depends_on: str) -> dict[str, object]:
    source = {"type": "file", "path": f"{name}.csv"}
    return {"id": name, "key": [key], "source": source, "depends_on": list(depends_on)}


async def test_somebody_follows_an_import(
    shop: Dashboard, start_worker: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    answer = await shop.client.post(
        {
            "kind": "import",
            "id": "nightly",
            "name": "shop",
            "record_types": [
                record_type("customer"),
                record_type("order", HOSTILE, "customer"),
                record_type("line", "id", "order", "customer"),
            ],
            "policy": {"max_rejects": 5},
        }
    )
    assert answer.status_code == 202
    tab = await shop.open("/ui/jobs/nightly")
    await tab.see_text("Waves are made once the import is coordinated")
    start_worker(database_url, redis_url)
    await tab.see_text("of 6 rows read")
    await tab.see(f"({NODES}).every((title) => !/pending|running/.test(title)) && ({NODES}).length === 3")
    assert sorted(await tab.evaluate(NODES)) == [
        "customer: completed, 2 of 2 rows",
        "line: completed, 1 of 1 rows",
        "order: partial, 3 of 3 rows",
    ]
    assert await tab.evaluate(LINES) == 3
    await tab.see_text(f"The row has no value in {HOSTILE}")
    await tab.see_text("won")
    await shop.keeps_nobody_out(tab)
    await tab.click("a[href='/ui/jobs/nightly/rejects']")
    await tab.see_text("key_missing")
    await shop.keeps_nobody_out(tab)
    await tab.click("tbody a")
    assert await tab.path() == "/ui/jobs/nightly/rejects?record_type=order"
    await tab.go(f"{shop.client.process.url}/ui/jobs/nightly")
    await tab.click("a[href='/ui/jobs/nightly/waves/2']")
    await tab.see_text("3 of 3")
    await shop.keeps_nobody_out(tab)
    await tab.evaluate("document.querySelector('#status').value = 'failed'")
    await tab.click("main form button")
    await tab.see_text("No batch of this wave is failed.")
    assert "taken" not in await tab.title()
