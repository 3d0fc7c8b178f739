"""Tenants take turns at counting for dry runs of imports: many of one tenant don't keep another's waiting."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.import_previews import AT_ONCE, ImportPreviews
from configuration.in_force import InForceReader
from db.engine import Connection, create_engine
from domain.tenant_names import DEFAULT_TENANT
from runtime.configured_secrets import read_secrets
from runtime.settings import Settings
from sources.configured import ConfiguredSources
from submissions.submission import Sender, Submission, read_submission
from tests.support.configurations import commit_file
from tests.support.import_bodies import configured, import_body, table_type
from tests.support.waiting import eventually_async

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'held'::regclass"


@pytest.fixture
async def in_force(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[InForceReader]:
    """A configuration with a database to import from."""
    monkeypatch.setenv("ERP_URL", database_url)
    commit_file(database_url, configured(tmp_path))
    engine = create_engine(database_url, size=1)
    reader = InForceReader(engine, Settings(), by="a test")
    await reader.read()
    yield reader
    await engine.dispose()


async def test_a_dry_run_waits_for_few_of_another_tenant(
    in_force: InForceReader, rows: Connection, tmp_path: Path
) -> None:
    await rows.execute("CREATE TABLE held (id int PRIMARY KEY)")
    sources = ConfiguredSources(tmp_path / "state")
    configuration = in_force.current.configuration
    sources.serve(configuration, read_secrets(configuration.content.file))
    previews = ImportPreviews(sources, seconds=60)
    ended: list[int] = []

    async def count(tenant_no: int) -> None:
        body, sender = import_body(table_type("held")), Sender("r", None, None)
        submission: Submission = read_submission(
            body, in_force.current, tenant=DEFAULT_TENANT, tenant_no=tenant_no, key=None, sender=sender
        )
        counted = await previews.count(submission)
        assert counted["rows"] is not None
        ended.append(tenant_no)

    async def all_are_counting() -> bool:
        return int(await rows.fetchval(WAITING)) == AT_ONCE

    async with asyncio.TaskGroup() as tasks, rows.transaction():
        await rows.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        for _ in range(10 * AT_ONCE):
            tasks.create_task(count(1))
        await eventually_async(all_are_counting, what="one tenant has all places")
        tasks.create_task(count(2))
        await asyncio.sleep(0)  # until it waits
    assert ended.index(2) <= 2 * AT_ONCE
    await sources.aclose()
