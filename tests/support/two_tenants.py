"""Two tenants that own something of every kind: under ids of their own, and under ids that both use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx2

from db.import_reports import RejectedRow
from domain.scopes import OF_INSTALLATION, Scope
from tests.support.access import AsKey, make_key, make_tenant
from tests.support.controls import end_unknown, exhausted
from tests.support.import_steps import ImportSteps, import_keys, plan_of, read
from tests.support.job_seeds import Seeds, completed

SHARED = "shared"
"""The id of a job and the name of a dataset that both tenants have."""
FATES = (SHARED, "completed", "dead", "unknown", "running")
OF_TENANTS = tuple(scope for scope in Scope if scope not in OF_INSTALLATION)


@dataclass(frozen=True)
class Owner:
    """A tenant: its key with all scopes of tenants, and the ids that it alone has, by path parameter.

    `mark` is part of every text that it alone has.
    """

    tenant_no: int
    mark: str
    key: AsKey
    owned: Mapping[str, Sequence[str]]


async def two_tenants(http: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> Sequence[Owner]:
    """Let the tenants `default` and `acme` make what they own; `http` is of an app that asks for keys."""
    await make_tenant(rows, "acme")
    keys = {tenant: await make_key(rows, *OF_TENANTS, tenant=tenant) for tenant in ("default", "acme")}
    for tenant, key in keys.items():
        for fate in FATES:
            await _submit(AsKey(http, key), fate if fate == SHARED else f"{fate}-of-{tenant}", f"of-{tenant}")
    await _run(seeds, rows)
    return [await _owner(http, seeds, rows, tenant, key) for tenant, key in keys.items()]


async def _owner(http: httpx2.AsyncClient, seeds: Seeds, rows: Any, tenant: str, text: str) -> Owner:
    key, mark = AsKey(http, text), f"of-{tenant}"
    for fate in ("cancelled", "queued"):
        await _submit(key, f"{fate}-{mark}", mark)
    assert (await key.post(f"/jobs/cancelled-{mark}/cancel", {"reason": mark})).status_code == 202
    tenant_no = await rows.fetchval("SELECT tenant_no FROM tenants WHERE name = $1", tenant)
    await _import(ImportSteps(seeds.engine, tenant_no), mark)
    jobs = await rows.fetch("SELECT job_no, id FROM jobs WHERE tenant_no = $1", tenant_no)
    executions = (await key.get("/executions?limit=200")).json()["items"]
    operator = AsKey(http, await make_key(rows, Scope.OPERATE))
    letters = (await operator.get(f"/queue/dead?tenant={tenant}")).json()["items"]
    owned = {
        "job_id": [job["id"] for job in jobs if job["id"] != SHARED],
        "execution_id": [*(cell["id"] for cell in executions), *(f"{job['job_no']}-0-0-0" for job in jobs)],
        "dataset": [f"dataset-{mark}"],
        "dead_letter_id": [str(letter["id"]) for letter in letters],
        "key_id": [text.split("_")[1]],
    }
    assert all(owned.values())
    return Owner(tenant_no, mark, key, owned)


def body_of(job_id: str, mark: str) -> Mapping[str, Any]:
    """Return what a tenant submits under this id."""
    return {
        "id": job_id,
        "name": f"name {mark}",
        "models": [f"model-{mark}"],
        "regions": ["us-east"],
        "questions": [f"{job_id}? {mark}"],
        "metadata": {"note": mark},
    }


async def _submit(key: AsKey, job_id: str, mark: str) -> None:
    answer = await key.post("/jobs", body_of(job_id, mark), **{"Idempotency-Key": f"key-{job_id}"})
    assert answer.status_code == 202, answer.text


async def _run(seeds: Seeds, rows: Any) -> None:
    """Plan the jobs, and let each have the fate that its id begins with."""
    await seeds.plan()
    jobs = {
        row["job_no"]: row
        for row in await rows.fetch("SELECT j.job_no, j.id, t.name FROM jobs AS j JOIN tenants AS t USING (tenant_no)")
    }
    for batch in await seeds.claim():
        job = jobs[batch.job_no]
        match job["id"].partition("-")[0]:
            case "completed" | "shared":
                await seeds.record(completed(batch, output=f"answer of-{job['name']}"))
            case "dead":
                await seeds.record(exhausted(batch))
            case "unknown":
                await end_unknown(seeds, batch)
            case fate:
                assert fate == "running"


async def _import(imports: ImportSteps, mark: str) -> None:
    """Import a row into a dataset of each name; and into one of its own a row that is rejected."""
    for dataset in (SHARED, f"dataset-{mark}"):
        await import_keys(imports, [f"row {mark}"], dataset=dataset)
    await imports.coordinate(replace(plan_of([1]), dataset=f"dataset-{mark}"))
    ((batch, given),) = await imports.claim()
    rejected = [RejectedRow(given.range["first"], f"row {mark}", "duplicate_key", "Its key came before.")]
    await imports.record(replace(read(batch, given, rows=0), rows_read=1, rejected=rejected))
