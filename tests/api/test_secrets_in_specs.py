"""Secrets in a spec: shown nowhere, stored only where a call is made of them, and no obstacle to deduplication."""

import json
import secrets
import threading
from urllib.parse import urlencode

import httpx2
import pytest

from api import shown_specs
from domain import redaction
from domain.redaction import hide_secrets
from tests.support.job_seeds import Seeds
from tests.support.service import Client, Json, unique


def spec_with_secrets() -> tuple[Json, list[str]]:
    """A spec, and the secrets in it."""
    hidden = [f"{prefix}{secrets.token_hex(16)}0" for prefix in ("hush", "sk-proj-", "ghp_", "hush", "word")]
    by_name, by_form, deep, parameter, password = hidden
    body = {
        **unique(),
        "questions": [f"Is {by_form} a key?", f"Where is https://u:{password}@h/?"],
        "parameters": {"api_key": parameter, "max_tokens": 5},
        "metadata": {"token": by_name, "notes": [{"text": f"use {deep}"}], "tokens": 7},
    }
    return body, hidden


async def test_no_answer_shows_a_secret_of_a_spec(client: Client) -> None:
    body, hidden = spec_with_secrets()
    dry = await client.post(body, dry_run=True)
    created = await client.post(body, key=f"key-{body['name']}")
    replayed = await client.post(body, key=f"key-{body['name']}")
    joined = await client.post(body)
    assert [answer.status_code for answer in (dry, created, replayed, joined)] == [200, 202, 202, 200]
    assert [answer.json()["outcome"] for answer in (created, joined)] == ["created", "joined"]
    assert created.json()["spec"] == replayed.json()["spec"] == joined.json()["spec"]
    path = created.json()["job"]["links"]["self"]
    shown = [await client.http.get(f"{path}{part}") for part in ("", "/events", "/executions", "/audit")]
    for answer in (dry, created, replayed, joined, *shown):
        assert [secret for secret in hidden if secret in answer.text] == [], answer.request.url
    job = shown[0].json()
    assert job["spec"]["parameters"] == job["submitted"]["parameters"] == {"api_key": "[redacted]", "max_tokens": 5}
    assert job["submitted"]["metadata"] == {"token": "[redacted]", "notes": [{"text": "use [redacted]"}], "tokens": 7}


async def test_what_a_call_sends_is_stored_whole_and_nothing_else_is(client: Client) -> None:
    body, hidden = spec_with_secrets()
    created = await client.post(body, key=f"key-{body['name']}")
    row = await client.database.fetchrow(
        "SELECT specs.spec::text, specs.submitted::text, specs.normalization::text, keys.* FROM specs"
        " JOIN jobs USING (job_no) JOIN idempotency_keys AS keys USING (job_no) WHERE id = $1",
        created.json()["job"]["id"],
    )
    assert row is not None
    stored = json.loads(row["spec"])
    assert [question["text"] for question in stored["questions"]] == body["questions"]
    assert stored["parameters"] == body["parameters"]
    elsewhere = f"{stored['metadata']} {[value for name, value in row.items() if name != 'spec']}"
    assert [secret for secret in hidden if secret in elsewhere] == []


async def test_specs_that_differ_in_a_secret_are_different_ones(client: Client) -> None:
    body, _ = spec_with_secrets()
    other = {**body, "parameters": {**body["parameters"], "api_key": "another"}}
    first, second = await client.post(body), await client.post(other)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["dedup"]["spec_hash"] != second.json()["dedup"]["spec_hash"]
    same = await client.post({**body, "metadata": {"token": "rotated"}})
    assert same.json()["job"]["id"] == first.json()["job"]["id"]


async def test_an_error_repeats_no_secret(client: Client) -> None:
    secret = f"sk-proj-{secrets.token_hex(16)}0"
    answer = await client.post({**unique(), "models": [{"id": "m", "provider": secret}], "regions": [secret]})
    assert answer.status_code == 422
    assert secret not in answer.text
    assert "[redacted]" in answer.text


async def test_no_page_shows_a_secret_of_a_spec(client: Client) -> None:
    body, hidden = spec_with_secrets()
    created = (await client.post(body)).json()
    job, path = created["job"]["id"], f"/ui{created['job']['links']['self']}"
    spec = (await client.http.get(f"/jobs/{job}")).json()["spec"]
    [model, *_], [region, *_] = spec["models"], spec["models"][0]["regions"]
    cells = [
        f"{path}/cell?{urlencode({'model': model['id'], 'region': region, 'question': question['id']})}"
        for question in spec["questions"]
    ]
    for page in (path, *cells):
        answer = await client.http.get(page)
        assert (answer.status_code, "[redacted]" in answer.text) == (200, True), page
        assert [secret for secret in hidden if secret in answer.text] == [], page


@pytest.mark.parametrize(("length", "is_in_thread"), [(100, False), (shown_specs.LARGE_BYTES, True)])
async def test_a_large_spec_is_searched_beside_the_event_loop_and_each_text_of_it_once(
    reader: httpx2.AsyncClient, seeds: Seeds, monkeypatch: pytest.MonkeyPatch, length: int, *, is_in_thread: bool
) -> None:
    question = "://a:1/@" * (length // 8)
    job = await seeds.submit(questions=[question])
    searched: list[bool] = []

    def hide(text: str) -> str:
        if text == question:
            searched.append(threading.current_thread() is not threading.main_thread())
        return hide_secrets(text)

    monkeypatch.setattr(redaction, "hide_secrets", hide)
    shown = (await reader.get(f"/jobs/{job.id}")).json()
    assert shown["spec"]["questions"][0]["text"] == question
    assert searched == [is_in_thread]
