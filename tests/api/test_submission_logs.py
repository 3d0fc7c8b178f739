"""The log names every job that was submitted, and every duplicate with its layer, its reason and the request."""

import httpx2

from tests.support.service import Client, Json, Process, unique


def lines(service: Process, event: str, answer: httpx2.Response) -> list[Json]:
    """The lines of one event that an answered request left, without what every line has."""
    request_id = answer.headers["X-Request-ID"]
    found = [line for line in service.events(event) if line["request_id"] == request_id]
    return [{name: line[name] for name in line.keys() - {"event", "process", "at", "request_id"}} for line in found]


async def test_a_new_job_is_logged(client: Client, service: Process) -> None:
    answer = await client.post(unique(models=["a", "b"], regions=["US", "EU"]))
    job_id = answer.json()["job"]["id"]
    assert lines(service, "job_submitted", answer) == [{"level": "info", "job_id": job_id, "total_executions": 4}]
    assert lines(service, "duplicate_prevented", answer) == []


async def test_dropped_duplicates_of_a_spec_are_reported_in_one_line(client: Client, service: Process) -> None:
    answer = await client.post(unique(models=["a", "b", "a", "a"], regions=["US", "us-east"]))
    assert lines(service, "duplicate_prevented", answer) == [
        {
            "level": "info",
            "layer": "spec",
            "reason": "dropped_duplicate",
            "count": 3,
            "job_id": answer.json()["job"]["id"],
        }
    ]


async def test_a_join_is_logged(client: Client, service: Process) -> None:
    body = unique(models=["a", "a"])
    job_id = (await client.post(body)).json()["job"]["id"]
    joined = await client.post(body)
    assert lines(service, "job_submitted", joined) == []
    assert lines(service, "duplicate_prevented", joined) == [
        {"level": "info", "layer": "submission", "reason": "same_spec_active", "count": 1, "job_id": job_id}
    ]


async def test_a_refused_duplicate_is_logged(client: Client, service: Process) -> None:
    body = unique()
    job_id = (await client.post(body)).json()["job"]["id"]
    refused = await client.post({**body, "on_duplicate": "reject"})
    assert refused.status_code == 409
    assert lines(service, "duplicate_prevented", refused) == [
        {"level": "info", "layer": "submission", "reason": "duplicate_job", "count": 1, "job_id": job_id}
    ]


async def test_a_preview_logs_nothing(client: Client, service: Process) -> None:
    answer = await client.post(unique(models=["a", "a"]), dry_run=True)
    assert lines(service, "job_submitted", answer) == lines(service, "duplicate_prevented", answer) == []
