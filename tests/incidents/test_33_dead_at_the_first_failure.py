"""Incident 33: the first failure was the last, though three tries were documented, and dead letters came in bulk."""

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit
from tests.support.provider_server import ProviderServer, answer, by_question, in_turn, refuse
from tests.support.workers import Fleet

FIRST, SECOND = "What is 0 plus 0?", "What is 1 plus 1?"


async def test_three_tries_with_backoff_and_then_a_dead_letter_of_each(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    """The documented default: nothing in the spec says three."""
    provider.behave = by_question({FIRST: in_turn(refuse(500), refuse(500), answer()), SECOND: refuse(500)})
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config())
    fleet.start(CONFIG=config)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=2)]))
    await all_ended(connection)
    cells = await connection.fetch("SELECT question_no, status, attempts FROM executions ORDER BY question_no")
    assert [tuple(cell) for cell in cells] == [(0, "completed", 3), (1, "failed", 3)]
    letters = await connection.fetch("SELECT question_no, attempts, error_code, replayed_at FROM dead_letters")
    assert [tuple(letter) for letter in letters] == [(1, 3, "provider_error", None)]
    times = [call.started_at for call in provider.calls if call.question == SECOND]
    assert len(times) == 3
    await assert_audit(connection)
