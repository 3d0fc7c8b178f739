"""What becomes of a cell whose provider misbehaves: attempts, code and text, and the names its calls carried.

Each case runs a real worker against a provider that logs every call outside the system.
"""

from dataclasses import dataclass

import pytest

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, counter_total
from tests.support.provider_server import (
    Behaviour,
    ProviderServer,
    answer,
    by_model,
    drip,
    held,
    in_turn,
    raw,
    refuse,
    reset,
    truncated,
    until_released,
)
from tests.support.provider_server import body as answer_body
from tests.support.waiting import eventually, eventually_async
from tests.support.workers import Fleet

QUICK = {"LEASE_SECONDS": 5, "HEARTBEAT_SECONDS": 0.5, "RECONCILE_SECONDS": 1}
POLICY = {"max_attempts": 3, "timeout_seconds": 20}
"""With time for each call that is answered, also on a busy machine."""
SHORT_CALLS = {**POLICY, "timeout_seconds": 0.5}


@dataclass(frozen=True)
class Case:
    """A provider's behaviour, and what the cell shows: status, attempts, code, keys (the n-th key of each call)."""

    behave: Behaviour
    status: str
    attempts: int
    code: str | None
    keys: tuple[int, ...]
    tries: tuple[str, ...] = ()
    dead: bool = False


SAME, NEW = (0, 0), (0, 1)
CASES = {
    "an answer": Case(answer("four"), "completed", 1, None, (0,)),
    "an empty answer": Case(answer(""), "completed", 1, None, (0,)),
    "500 once": Case(in_turn(refuse(500), answer()), "completed", 2, None, NEW, ("provider_error",)),
    "500 for ever": Case(
        refuse(500, text="Out of memory."),
        "failed",
        3,
        "provider_error",
        (0, 1, 2),
        ("provider_error", "provider_error"),
        dead=True,
    ),
    "429 without a time": Case(in_turn(refuse(429), answer()), "completed", 2, None, NEW, ("rate_limited",)),
    "no answer in time": Case(in_turn(held(answer()), answer()), "completed", 2, None, SAME, ("timeout",)),
    "no answer in time, ever": Case(
        held(answer()), "failed", 3, "timeout", (0, 0, 0), ("timeout", "timeout"), dead=True
    ),
    "a reset after the request": Case(in_turn(reset(), answer()), "completed", 2, None, SAME, ("connection_reset",)),
    "an answer cut off": Case(in_turn(truncated(), answer()), "completed", 2, None, SAME, ("connection_reset",)),
    "a slow drip": Case(
        in_turn(drip(b"{" + b" " * 500, seconds=0.05), answer()), "completed", 2, None, SAME, ("timeout",)
    ),
    "an ambiguous end, an answer, an answer": Case(
        in_turn(reset(), refuse(503), answer()),
        "completed",
        3,
        None,
        (0, 0, 1),
        ("connection_reset", "provider_unavailable"),
    ),
    "a proxy that waited too long": Case(
        in_turn(refuse(504), answer()), "completed", 2, None, SAME, ("provider_error",)
    ),
    "400": Case(refuse(400, "bad", "No such model."), "failed", 1, "provider_refused", (0,)),
    "401": Case(refuse(401), "failed", 1, "provider_refused", (0,)),
    "broken JSON": Case(answer_body(b'{"choices": ['), "failed", 1, "bad_answer", (0,)),
    "something else than JSON": Case(answer_body(b"<html>"), "failed", 1, "bad_answer", (0,)),
    "10 MB": Case(answer(text="x" * 10_000_000), "failed", 1, "answer_too_large", (0,)),
    "another region": Case(answer(region="eu-west"), "failed", 1, "region_mismatch", (0,)),
    "no HTTP at all": Case(in_turn(raw(b"hello\r\n\r\n"), answer()), "completed", 2, None, SAME, ("connection_reset",)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_each_end_of_a_call_has_the_designed_outcome(
    fleet: Fleet, connection, provider: ProviderServer, case: Case
) -> None:
    provider.behave = case.behave
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config())
    fleet.start(CONFIG=config, **QUICK)
    policy = SHORT_CALLS if "timeout" in (*case.tries, case.code) else POLICY
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(policy=policy)]))
    await all_ended(connection)
    cell = await connection.fetchrow("SELECT * FROM executions")
    assert (cell["status"], cell["attempts"], cell["error_code"]) == (case.status, case.attempts, case.code)
    assert case.code is None or cell["error_detail"]
    rows = await connection.fetch("SELECT error_code, error_detail FROM attempts ORDER BY attempt_no")
    assert tuple(row["error_code"] for row in rows) == case.tries
    assert all(row["error_detail"] for row in rows)
    assert numbered(provider.keys()) == case.keys
    assert await connection.fetchval("SELECT count(*) FROM dead_letters WHERE replayed_at IS NULL") == case.dead
    assert await counter_total(connection, "breakwater_executions", status=case.status, provider="hybrid") == 1
    assert await counter_total(connection, "breakwater_retries") == len(case.tries)
    await assert_audit(connection)


def numbered(keys: list[str | None]) -> tuple[int, ...]:
    """Which key each call carried, counted in order of their first appearance; every call must carry one."""
    assert all(keys)
    order = list(dict.fromkeys(keys))
    return tuple(order.index(key) for key in keys)


async def test_the_answer_of_the_provider_is_shown(fleet: Fleet, connection, provider: ProviderServer) -> None:
    provider.behave = refuse(400, "model_not_found", "The model `m` does not exist.")
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config())
    fleet.start(CONFIG=config)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body()]))
    await all_ended(connection)
    detail = await connection.fetchval("SELECT error_detail FROM executions")
    assert "400" in detail
    assert "does not exist" in detail


async def test_no_provider_at_all_is_a_named_cause_and_costs_no_key(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config().replace(provider.url, "http://127.0.0.1:1"))
    fleet.start(CONFIG=config)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(policy=POLICY)]))
    await all_ended(connection)
    cell = await connection.fetchrow("SELECT status, attempts, error_code, key_no FROM executions")
    assert tuple(cell) == ("failed", 3, "connection_refused", 0)
    await assert_audit(connection)


async def test_retry_after_is_waited_for_and_costs_none_of_the_attempts(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    """Twice `Retry-After: 2`, with a single attempt granted: each call comes two seconds after the one before."""
    provider.behave = in_turn(
        refuse(429, headers={"Retry-After": "2"}), refuse(429, headers={"Retry-After": "2"}), answer()
    )
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config())
    fleet.start(2, CONFIG=config, **QUICK)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(policy={"max_attempts": 1})]))
    await all_ended(connection)
    first, second, third = provider.calls
    assert 2 <= second.started_at - first.started_at < 4
    assert 2 <= third.started_at - second.started_at < 4
    assert numbered(provider.keys()) == (0, 1, 2)
    cell = await connection.fetchrow("SELECT status, attempts, forgiven FROM executions")
    assert tuple(cell) == ("completed", 3, 2)
    assert await connection.fetchval("SELECT gate_code FROM pools") is None
    await assert_audit(connection)


async def test_a_circuit_breaker_closes_beside_a_call_that_takes_long(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    provider.behave = by_model({"slow": held(answer())}, in_turn(refuse(429, headers={"Retry-After": "1"}), answer()))
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config(max_concurrent=5))
    fleet.start(CONFIG=config, **QUICK)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(models=["slow"])]))
    eventually(lambda: provider.in_flight == 1, what="the slow call is under way")
    (refused,) = await store_jobs(connection, [job_body(questions=3)])
    await publish_envelopes(fleet.redis_url, [refused])

    async def is_completed() -> bool:
        return await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", refused) == "completed"

    await eventually_async(is_completed, what="the refused job completed")
    assert provider.in_flight == 1
    provider.release()
    await all_ended(connection)
    await assert_audit(connection)


async def test_a_probe_without_an_answer_is_followed_by_another(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    provider.behave = in_turn(refuse(429, headers={"Retry-After": "1"}), reset(), answer())
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config())
    fleet.start(CONFIG=config, **QUICK)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(policy=POLICY)]))
    await all_ended(connection, seconds=10)
    assert numbered(provider.keys()) == (0, 1, 1)
    assert await connection.fetchval("SELECT gate_code FROM pools") is None
    await assert_audit(connection)


async def test_a_billing_limit_opens_the_circuit_breaker_of_its_provider_alone(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    """While it lasts few calls go out, other providers and regions go on; once it is lifted everything completes."""
    limit = refuse(429, "insufficient_quota", "You exceeded your current quota.")
    provider.behave = by_model({"model-0": until_released(limit, answer())})
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config() + provider.config(name="other"))
    fleet.start(2, CONFIG=config, **QUICK)
    limited = job_body(questions=60, policy={"max_attempts": 2})
    others = {**job_body(questions=60), "models": [{"id": "model-1", "provider": "other"}]}
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [limited, others]))

    async def is_closed_again() -> bool:
        return (await connection.fetchval("SELECT max(gate_times) FROM pools")) >= 3

    await eventually_async(is_closed_again, seconds=20, what="the circuit breaker opened three times")
    assert await connection.fetchval("SELECT status FROM jobs WHERE job_no = 2") == "completed"
    refused = len([call for call in provider.calls if call.model == "model-0"])
    assert refused <= 2 * 10 + 4, "the first calls of each worker, and one probe each time after"
    assert await connection.fetchval("SELECT count(*) FROM executions WHERE status = 'failed'") == 0
    provider.release()
    await all_ended(connection, seconds=40)
    assert await connection.fetchval("SELECT count(*) FROM executions WHERE status = 'completed'") == 120
    assert await connection.fetchval("SELECT count(*) FROM pools WHERE gate_code IS NOT NULL") == 0
    await assert_audit(connection)


async def test_an_ambiguous_end_is_not_called_again_at_most_once(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    provider.behave = by_model(
        {
            "model-0": reset(),
            "model-1": held(answer()),
            "model-2": in_turn(refuse(500), answer()),
            "model-4": in_turn(refuse(504), answer()),
        }
    )
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config())
    fleet.start(CONFIG=config)
    await publish_envelopes(
        fleet.redis_url,
        await store_jobs(connection, [job_body(models=5, policy={**SHORT_CALLS, "delivery": "at_most_once"})]),
    )
    await all_ended(connection)
    rows = await connection.fetch("SELECT model_no, status, attempts, error_code FROM executions ORDER BY model_no")
    assert [tuple(row) for row in rows] == [
        (0, "unknown", 1, "connection_reset"),
        (1, "unknown", 1, "timeout"),
        (2, "completed", 2, None),
        (3, "completed", 1, None),
        (4, "unknown", 1, "provider_error"),
    ]
    asked = provider.counts()
    assert {model: times for (model, _), times in asked.items()} == {f"model-{n}": 1 + (n == 2) for n in range(5)}
    assert await counter_total(connection, "breakwater_executions", status="unknown") == 3
    await assert_audit(connection)


async def test_a_start_is_committed_before_the_call(fleet: Fleet, connection, provider: ProviderServer) -> None:
    provider.behave = held(answer())
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config())
    fleet.start(CONFIG=config)
    await publish_envelopes(
        fleet.redis_url, await store_jobs(connection, [job_body(questions=3, policy={"delivery": "at_most_once"})])
    )
    eventually(lambda: len(provider.calls) == 3, what="all are asked")
    assert await connection.fetchval("SELECT count(*) FROM executions WHERE status = 'running'") == 3
    provider.release()
    await all_ended(connection)
    assert await connection.fetchval("SELECT count(*) FROM executions WHERE status = 'completed'") == 3
