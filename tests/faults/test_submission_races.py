"""N parallel equal POSTs, from several processes to several APIs: one job, and an answer that says so for each."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.service import Client, Process, unique
from tests.support.simultaneous_clients import Reply, SimultaneousClients, simultaneous_clients

ROUNDS = 20
AT_ONCE = 50


@pytest.fixture(scope="module")
def clients() -> Iterator[SimultaneousClients]:
    with simultaneous_clients(4) as started:
        yield started


@pytest.fixture
def urls(service: Process, second_service: Process) -> list[str]:
    return [service.url, second_service.url]


async def ledger_rows(client: Client) -> int:
    count: int = await client.database.fetchval("SELECT count(*) FROM submissions")
    return count


def outcomes(replies: list[Reply]) -> Counter[str]:
    """How often each outcome was answered; a replay counts as one, whatever it repeats."""
    return Counter(
        "replayed" if "idempotent-replayed" in reply.headers else reply.body.get("outcome", reply.body.get("code"))
        for reply in replies
    )


@pytest.mark.parametrize("round_no", range(ROUNDS))
async def test_equal_specs_at_once_are_one_job(
    client: Client, clients: SimultaneousClients, urls: list[str], round_no: int
) -> None:
    body = unique()
    before = await ledger_rows(client)
    replies = clients.post(urls, [body] * AT_ONCE)
    (job,) = await client.jobs(body["name"])
    assert outcomes(replies) == {"created": 1, "joined": AT_ONCE - 1}
    assert {reply.body["job"]["id"] for reply in replies} == {job["id"]}
    assert {reply.status for reply in replies} == {200, 202}
    assert await ledger_rows(client) - before == AT_ONCE


@pytest.mark.parametrize("round_no", range(ROUNDS))
async def test_equal_requests_with_one_key_at_once_are_one_job(
    client: Client, clients: SimultaneousClients, urls: list[str], round_no: int
) -> None:
    body = unique()
    before = await ledger_rows(client)
    replies = clients.post(urls, [body] * AT_ONCE, key=body["name"])
    (job,) = await client.jobs(body["name"])
    counted = outcomes(replies)
    assert counted["created"] == 1
    assert counted["replayed"] + counted["idempotency_key_in_flight"] == AT_ONCE - 1
    assert {reply.status for reply in replies} <= {202, 409}
    answers = [reply.body for reply in replies if reply.status == 202]
    assert answers == [answers[0]] * len(answers)
    assert answers[0]["job"]["id"] == job["id"]
    assert await ledger_rows(client) - before == AT_ONCE


async def test_one_key_with_many_bodies_at_once_is_one_job(
    client: Client, clients: SimultaneousClients, urls: list[str]
) -> None:
    bodies = [unique() for _ in range(AT_ONCE)]
    replies = clients.post(urls, bodies, key=bodies[0]["name"])
    counted = outcomes(replies)
    assert counted["created"] == 1
    assert counted["idempotency_key_reused"] + counted["idempotency_key_in_flight"] == AT_ONCE - 1
    assert sum([len(await client.jobs(body["name"])) for body in bodies]) == 1


async def test_one_id_with_many_specs_at_once_is_one_job(
    client: Client, clients: SimultaneousClients, urls: list[str]
) -> None:
    name = unique()["name"]
    bodies = [unique(id=f"mine-{name}") for _ in range(AT_ONCE)]
    replies = clients.post(urls, bodies)
    assert outcomes(replies) == {"created": 1, "job_id_conflict": AT_ONCE - 1}
    assert sum([len(await client.jobs(body["name"])) for body in bodies]) == 1


async def test_different_specs_at_once_are_as_many_jobs(
    client: Client, clients: SimultaneousClients, urls: list[str]
) -> None:
    bodies = [unique() for _ in range(AT_ONCE)]
    assert outcomes(clients.post(urls, bodies)) == {"created": AT_ONCE}


async def test_keys_at_once_on_one_spec_are_one_job(
    client: Client, clients: SimultaneousClients, urls: list[str]
) -> None:
    """The key's lock and the spec's lock are both wanted, by different submissions in different order."""
    body = unique()
    replies = [reply for n in range(4) for reply in clients.post(urls, [body] * AT_ONCE, key=f"{body['name']}-{n % 2}")]
    assert outcomes(replies) == {"created": 1, "joined": 1, "replayed": 4 * AT_ONCE - 2}
    assert len(await client.jobs(body["name"])) == 1


async def test_clients_that_want_a_job_each_get_a_job_each(
    client: Client, clients: SimultaneousClients, urls: list[str]
) -> None:
    body = unique(on_duplicate="create")
    assert outcomes(clients.post(urls, [body] * AT_ONCE)) == {"created": AT_ONCE}
    assert len(await client.jobs(body["name"])) == AT_ONCE


async def test_clients_that_want_no_duplicate_get_one_job(
    client: Client, clients: SimultaneousClients, urls: list[str]
) -> None:
    body = unique(on_duplicate="reject")
    replies = clients.post(urls, [body] * AT_ONCE)
    assert outcomes(replies) == {"created": 1, "duplicate_job": AT_ONCE - 1}
    assert len(await client.jobs(body["name"])) == 1
