"""A job can be submitted without HTTP, and what is decided is the same whichever way it came in."""

import subprocess
import sys
from typing import Any

import orjson
import pytest

from db.tenants import DEFAULT_TENANT_NO
from domain.errors import BreakwaterError, SpecRejected
from domain.tenant_names import DEFAULT_TENANT
from submissions.responses import SubmissionResponse
from submissions.service import Submissions
from submissions.submission import Sender
from tests.support.service import Client, Json, unique

SENDER = Sender("r-1", None, "a command")
ABOUT_THE_REQUEST = ("type", "title", "status", "request_id", "instance")
"""Members of a problem that HTTP adds."""


async def submit(submissions: Submissions, body: Json, key: str | None = None) -> SubmissionResponse:
    return await submissions.submit(body, tenant=DEFAULT_TENANT, tenant_no=DEFAULT_TENANT_NO, sender=SENDER, key=key)


def shown(response: SubmissionResponse) -> Any:
    """The response's JSON, without how often its job was submitted."""
    return without_count(orjson.loads(orjson.dumps(response.body)))


def without_count(body: Any) -> Any:
    return {**body, "dedup": {**body["dedup"], "times_seen": None}}


async def test_a_job_submitted_from_python_is_the_one_that_a_post_joins(
    submissions: Submissions, own_client: Client, created: list[int]
) -> None:
    body = unique()
    response = await submit(submissions, body)
    posted = await own_client.post(body)
    assert (response.status_code, response.body["outcome"], posted.status_code) == (202, "created", 200)
    assert posted.json()["job"] == response.body["job"]
    assert (posted.json()["dedup"]["reason"], posted.json()["dedup"]["times_seen"]) == ("same_spec_active", 2)
    [job] = await own_client.jobs(body["name"])
    assert [job["job_no"]] == [response.created_job_no] == created
    assert (await own_client.http.get(response.body["job"]["links"]["self"])).json()["spec"]["name"] == body["name"]


@pytest.mark.parametrize(
    ("first", "second"),
    [({}, {}), ({"id": "mine"}, {"id": "mine"}), ({"id": "a"}, {"on_duplicate": "create", "id": "a"})],
    ids=["by content", "by id", "by id, whatever its content asks for"],
)
async def test_a_duplicate_is_joined_alike_on_both_ways(
    submissions: Submissions, own_client: Client, first: Json, second: Json
) -> None:
    name = unique()["name"]
    created = (await own_client.post({**unique(**first), "name": name})).json()
    from_python = await submit(submissions, {**unique(**second), "name": name})
    posted = await own_client.post({**unique(**second), "name": name})
    assert (from_python.status_code, from_python.body["job"]["id"]) == (200, created["job"]["id"])
    assert shown(from_python) == without_count(posted.json())


async def test_a_key_replays_the_first_response_on_both_ways(submissions: Submissions, own_client: Client) -> None:
    body = unique()
    first = await submit(submissions, body, key="k")
    again = await submit(submissions, body, key="k")
    posted = await own_client.post(body, key="k")
    assert (again.status_code, again.is_replayed, posted.headers["Idempotent-Replayed"]) == (202, True, "true")
    assert posted.status_code == 202
    assert shown(first) == shown(again) == without_count(posted.json())


@pytest.mark.parametrize(
    ("body", "key", "error_code"),
    [
        (unique(id="taken"), None, "job_id_conflict"),
        (unique(on_duplicate="reject") | {"name": "stored"}, None, "duplicate_job"),
        (unique(), "used", "idempotency_key_reused"),
        (unique(regions=["mars"]), None, "unknown_region"),
    ],
    ids=["id", "content", "key", "spec"],
)
async def test_a_conflict_is_the_same_on_both_ways(
    submissions: Submissions, own_client: Client, body: Json, key: str | None, error_code: str
) -> None:
    await own_client.post(unique() | {"name": "stored"})
    await own_client.post(unique(id="taken"))
    await own_client.post(unique(), key="used")
    with pytest.raises(BreakwaterError) as rejected:
        await submit(submissions, body, key=key)
    posted = (await own_client.post(body, key=key)).json()
    error = rejected.value
    reasons = [reason.to_json() for reason in error.errors] if isinstance(error, SpecRejected) else []
    by_python = {"code": error.code, "detail": error.detail, "errors": reasons, **error.members}
    assert error.code == error_code
    assert orjson.loads(orjson.dumps(by_python)) == {
        name: value for name, value in posted.items() if name not in ABOUT_THE_REQUEST
    }
    ledger = await own_client.database.fetch("SELECT outcome, reason FROM submissions WHERE request_id = 'r-1'")
    assert [(row["outcome"], row["reason"]) for row in ledger] == [("rejected", error_code)]


async def test_a_preview_gives_the_answer_of_submitting_and_stores_nothing(
    submissions: Submissions, own_client: Client
) -> None:
    body = unique()
    submission = submissions.read(body, tenant=DEFAULT_TENANT, tenant_no=DEFAULT_TENANT_NO, sender=SENDER)
    preview = await submissions.preview(submission)
    posted = await own_client.post(body, dry_run=True)
    assert orjson.loads(orjson.dumps(preview.body)) == posted.json()
    assert await own_client.jobs(body["name"]) == []


def test_submitting_loads_no_web_framework() -> None:
    script = "import sys, submissions.service; print([n for n in ('fastapi', 'starlette', 'api') if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
