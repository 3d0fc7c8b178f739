"""A worker calls a provider that is kept for a tenant for jobs of that tenant alone, also if an API erred."""

from db.engine import Connection
from tests.support.access import make_tenant
from tests.support.configurations import commit_file
from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.provider_server import ProviderServer
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

STATUS = "SELECT status FROM jobs WHERE job_no = $1"


async def test_a_kept_provider_is_called_for_its_tenant_and_never_for_a_job_of_another(
    fleet: Fleet, connection: Connection, provider: ProviderServer
) -> None:
    path = fleet.folder / "kept.toml"
    path.write_text(provider.config(tenants=["acme", "globex"]) + provider.config(name="free"))
    commit_file(fleet.database_url, path)
    acme_no, other_no = [await make_tenant(connection, name) for name in ("acme", "initech")]
    (wrong,) = await store_jobs(connection, [job_body(questions=2)], tenant_no=other_no, tenant="acme")
    (own,) = await store_jobs(connection, [job_body(questions=3)], tenant_no=acme_no, tenant="acme")
    free = {**job_body(questions=4), "models": [{"id": "free", "provider": "free"}]}
    (shared,) = await store_jobs(connection, [free], tenant_no=other_no, tenant="initech")
    fleet.start(1)
    await publish_envelopes(fleet.redis_url, [wrong, own, shared])
    for job_no in (own, shared):
        await eventually_async(
            lambda number=job_no: connection.fetchval(f"SELECT ({STATUS}) = 'completed'", number),
            what="it is completed",
        )
    assert len(provider.calls) == 3 + 4
    assert await connection.fetchval(STATUS, wrong) == "queued"
