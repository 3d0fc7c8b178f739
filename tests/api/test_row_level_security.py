"""Row-level security alone: with the tenant taken out of each statement in turn, no route shows or changes another's.

The same requests with the rows of all tenants in sight prove that they reach those statements: there they leak.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import event

import api.dependencies
import db.engine
from api.authentication import Authenticator
from db.engine import Connection, Engine, for_all_tenants
from domain.scopes import OF_INSTALLATION, Scope
from tests.support.access import bearer, make_key, make_tenant
from tests.support.description import api_description
from tests.support.job_seeds import Seeds, completed, failed
from tests.support.reading_app import replace_services

BY_TENANT = re.compile(r"\b\w+\.tenant_no = \$\d+(?:::\w+)?")
TEXTS = {path: path.read_text() for path in sorted(db.engine.STATEMENTS.glob("*.sql"))}
ORM = "SQLModel's reads"
DESCRIPTION = api_description()
FILES = ("/executions", "/rejects", "/records")
"""How paths end that are answered as files, too."""
OURS, THEIRS = "job-of-acme", "job-of-default"
MARK = "of-default"
"""What is in every id and name of the other tenant, and in none of ours."""
KEY = f"key-{MARK}"
DATASET = f"dataset-{MARK}"
IMPORTED = """
WITH record_set AS (
    INSERT INTO record_sets (tenant_no, dataset, record_type, key)
    SELECT j.tenant_no, $2, $3, '{id}' FROM jobs AS j WHERE j.job_no = $1
    RETURNING record_set_no
), record_type AS (
    INSERT INTO record_types (job_no, record_type_no, id, record_set_no, level, rows_expected, is_complete)
    SELECT $1, 1, $3, s.record_set_no, 1, 1, true FROM record_set AS s
), batch AS (
    INSERT INTO import_batches (job_no, batch_no, record_type_no, record_batch_no, range, rows_expected)
    VALUES ($1, 1, 1, 1, '{}', 1)
), reject AS (
    INSERT INTO rejects (job_no, batch_no, position, record_key, code, detail)
    VALUES ($1, 1, 0, 'key-of-default', 'key_missing', 'It has no key.')
)
INSERT INTO imported_records (record_set_no, record_key, payload, job_no, batch_no)
SELECT s.record_set_no, 'row-of-default', '{}', $1, 1 FROM record_set AS s
"""
KEPT = (
    "jobs",
    "batches",
    "executions",
    "attempts",
    "dead_letters",
    "ready",
    "triggers",
    "imports",
    "record_sets",
    "events",
)
"""What an action on the other tenant's job would change."""
QUERIES: dict[str, tuple[str, ...]] = {
    "/jobs": ("", "?status=partial,failed,completed,queued", "?metadata.team=x", "?name_prefix=job", "?model=m-a"),
    "/executions": ("", "?status=failed", "?status=completed", "?status=planned"),
    "/datasets/{dataset}/records": ("", f"?record_type=type-{MARK}"),
}
LEAKING_ALONE = {
    *(ORM, "find_jobs_with_cells", "find_job", "find_record_sets", "list_audited_jobs", "list_datasets"),
    *(
        "list_record_types",
        "lock_job_by_id",
        "lock_job_controls",
        "read_events",
        "read_execution_names",
        "read_grid_names",
    ),
    *("read_first_response", "read_job"),
}
"""The statements of these routes that nothing but their tenant keeps from showing or changing another's rows."""


def operations() -> Iterator[tuple[str, str]]:
    """Method and path of each operation that is a tenant's own."""
    for path, methods in DESCRIPTION["paths"].items():
        for method, operation in methods.items():
            for needed in operation.get("security", ()):
                (scopes,) = needed.values()
                if OF_INSTALLATION.isdisjoint(map(Scope, scopes)) and (method, path) != ("post", "/jobs"):
                    yield method, path


@dataclass(frozen=True)
class Stage:
    """A client of the tenant `acme`, and what the tenant `default` owns by the names of path parameters."""

    http: httpx2.AsyncClient
    rows: Connection
    theirs: dict[str, str]

    async def leaks(self) -> list[str]:
        """Send every operation with the ids of the other tenant; return what showed or changed something of it."""
        found = []
        before = await self._kept()
        for method, path in operations():
            named = path
            for name, value in self.theirs.items():
                named = named.replace(f"{{{name}}}", value)
            for query in QUERIES.get(path, ("",)):
                found += await self._leaks_of(method, f"{named}{query}")
                if method == "get" and path.endswith(FILES):
                    found += await self._leaks_of(method, f"{named}{query}", accept="text/csv")
        found += [table for table, rows in (await self._kept()).items() if rows != before[table]]
        await self.rows.execute("DELETE FROM idempotency_keys WHERE key = $1 AND tenant_no <> 1", KEY)
        return found

    async def _leaks_of(self, method: str, path: str, *, accept: str = "application/json") -> list[str]:
        body = {"status": "failed"} if path.endswith("/resolve") and method == "post" else None
        headers = {"Accept": accept} | ({"Idempotency-Key": KEY} if path.endswith("/cancel") else {})
        answer = await self.http.request(method.upper(), path, json=body, headers=headers)
        assert "{" not in path
        is_hidden = answer.status_code in {404, 406} or (answer.status_code < 500 and MARK not in answer.text)
        is_refused = method == "get" or answer.status_code in {404, 422}
        return [] if is_hidden and is_refused else [f"{method} {path} {accept}: {answer.status_code}"]

    async def _kept(self) -> dict[str, Any]:
        return {table: await self.rows.fetch(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4") for table in KEPT}


@pytest.fixture
async def stage(reader: httpx2.AsyncClient, engine: Engine, seeds: Seeds, rows: Connection) -> Stage:
    """A job of `default` with a completed, a failed and a planned cell, a dead letter and imported rows."""
    acme = await make_tenant(rows, "acme")
    job = await seeds.submit(
        job_id=THEIRS, name=THEIRS, metadata={"team": "x"}, questions=[f"{n} {MARK}" for n in range(3)]
    )
    await seeds.plan()
    seeds.batch_cells = 1
    for batch, report in zip(await seeds.claim(), (failed, completed), strict=False):
        await seeds.record(report(batch))
    await rows.execute(IMPORTED, job.job_no, DATASET, f"type-{MARK}")
    await rows.execute(
        """
        INSERT INTO dead_letters (
            tenant_no, job_no, region_no, model_no, question_no, attempts, error_code, error_detail
        )
        SELECT 1, $1, 0, 0, 2, 1, 'busy', 'Busy.'
        WHERE NOT EXISTS (SELECT FROM dead_letters WHERE job_no = $1)
        """,
        job.job_no,
    )
    await rows.execute(
        """
        INSERT INTO idempotency_keys (tenant_no, key, request, body_hash, status_code, answer)
        VALUES (1, $1, $2, 'hash', 200, '{}')
        """,
        KEY,
        f"POST /jobs/another-{MARK}/cancel",
    )
    await seeds.submit(job_id=OURS, name=OURS, tenant_no=acme)
    replace_services(reader, authenticator=Authenticator(engine, None))
    reader.headers.update(bearer(await make_key(rows, tenant="acme")))
    letter = await rows.fetchval("SELECT dead_letter_no FROM dead_letters")
    theirs = {
        "job_id": THEIRS,
        "execution_id": f"{job.job_no}-0-0-0",
        "dead_letter_id": str(letter),
        "dataset": DATASET,
        "wave_number": "1",
        "batch_id": "1",
    }
    return Stage(reader, rows, theirs)


@pytest.fixture
def statements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder from which statements are read, to be changed."""
    folder = tmp_path / "statements"
    shutil.copytree(db.engine.STATEMENTS, folder)
    monkeypatch.setattr(db.engine, "STATEMENTS", folder)
    db.engine.statement.cache_clear()
    yield folder
    monkeypatch.undo()
    db.engine.statement.cache_clear()


async def leaks_by_statement(stage: Stage, statements: Path, engine: Engine) -> dict[str, list[str]]:
    """What leaks with the tenant taken out of each statement in turn."""
    found = {}
    for path, whole in TEXTS.items():
        without = BY_TENANT.sub(r"(\g<0> OR true)", whole)
        if without != whole:
            (statements / path.name).write_text(without)
            db.engine.statement.cache_clear()
            found[path.stem] = await stage.leaks()
            (statements / path.name).write_text(whole)
            db.engine.statement.cache_clear()

    def take_out(_c: Any, _cursor: Any, text: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        return BY_TENANT.sub(r"(\g<0> OR true)", text), parameters

    event.listen(engine.sync_engine, "before_cursor_execute", take_out, retval=True)
    found[ORM] = await stage.leaks()
    event.remove(engine.sync_engine, "before_cursor_execute", take_out)
    return found


async def test_no_route_shows_or_changes_what_is_anothers(stage: Stage) -> None:
    assert OURS in (await stage.http.get("/jobs")).text
    assert await stage.leaks() == []


async def test_row_level_security_alone_keeps_tenants_apart(stage: Stage, statements: Path, engine: Engine) -> None:
    leaks = await leaks_by_statement(stage, statements, engine)
    assert {name: paths for name, paths in leaks.items() if paths} == {}
    assert leaks.keys() >= LEAKING_ALONE - {"read_events"} | {"read_events_of_tenant"}


async def test_without_it_each_statement_leaks_by_itself(
    stage: Stage, statements: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the test above would prove nothing."""
    monkeypatch.setattr(api.dependencies, "for_tenant", lambda engine, *_: for_all_tenants(engine))
    leaks = await leaks_by_statement(stage, statements, engine)
    assert {name for name, paths in leaks.items() if paths} == LEAKING_ALONE
