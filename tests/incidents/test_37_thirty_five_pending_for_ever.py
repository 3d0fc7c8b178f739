"""Incident 37: of 45 batches 10 were dispatched, and 35 stayed pending for ever. Each that ends releases another."""

from db.engine import create_engine
from tests.support.import_steps import WINDOW, ImportSteps, plan_of, read


async def test_every_batch_of_a_wave_is_dispatched_however_many_fit_its_window(database_url, connection) -> None:
    engine = create_engine(database_url)
    ledger = ImportSteps(engine)
    job_no = await ledger.coordinate(plan_of([45]))
    seen = []
    while claimed := await ledger.claim():
        assert len(claimed) <= WINDOW
        seen += [batch.batch_no for batch, _ in claimed]
        await ledger.record(*(read(*claim) for claim in claimed))
    assert seen == list(range(1, 46))
    assert await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", job_no) == "completed"
    await engine.dispose()
