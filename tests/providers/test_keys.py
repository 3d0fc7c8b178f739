"""A provider that repeats keys: none gets into anything that is kept of its answer, however it is written."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import httpx2
import orjson
import pytest
from pydantic import SecretStr

from domain.notes import ECHO_LIMIT
from domain.secret_forms import REDACTED
from tests.providers.calls import TIMEOUT_SECONDS, call, canonical
from tests.support.provider_server import answer, body, refuse
from worker.providers import hybrid_router, openai
from worker.providers.http import Address, HttpProvider
from worker.providers.keys import Keys

KEY = 'k3y/geheim"1234+5678'
OTHER = "another-providers-key-99"
AS_JSON = KEY.replace('"', '\\"')
IN_URL = "k3y%2Fgeheim%221234%2b5678"
ESCAPED = "".join(f"\\u{ord(character):04x}" for character in KEY)


@pytest.fixture
def asked(provider, client):
    """A provider with a key, at a URL with another one, in a worker that has a third."""
    urls = {"us-east": httpx2.URL(f"{provider.url}/us-east/v1?token=in-the-url-4711&api-version=2026-11-30")}

    def make(dialect: Any = openai) -> HttpProvider:
        keys = SecretStr(KEY), canonical, (SecretStr(OTHER), SecretStr("short"))
        return HttpProvider("hybrid", dialect, Address(urls, TIMEOUT_SECONDS, *keys), client)

    return make


def kept(outcome: Any) -> str:
    """All that is kept of an outcome, with escapes resolved."""
    response = outcome.reply.response
    parsed = json.loads(response.json) if response is not None else None
    return repr((asdict(outcome), parsed))


def streamed(*pieces: str, **last: Any) -> bytes:
    events = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], **last})
    return b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events) + b"data: [DONE]\n\n"


@pytest.mark.parametrize("secret", [KEY, OTHER, "in-the-url-4711", "sk-proj-0123456789abcdef", "ghp_" + "a1" * 18])
async def test_a_key_in_any_part_of_an_answer_is_redacted(provider, asked, secret):
    near = "x" * (ECHO_LIMIT - 7) + ":"
    provider.behave = answer(
        f"Your key is {secret}.",
        model=near + secret,
        **{secret: {"deep": [[secret]]}, "choices_too": [{"logprobs": {"token": secret}}]},
    )
    outcome = await asked().answer(call())
    assert outcome.output == f"Your key is {REDACTED}."
    assert secret not in kept(outcome)
    assert near + secret[:5] not in kept(outcome)


@pytest.mark.parametrize("secret", [KEY, OTHER])
async def test_a_key_among_a_routers_labels_is_redacted_before_it_is_cut(provider, asked, secret):
    near = "x" * (ECHO_LIMIT - 7) + ":"
    facts: Mapping[str, Any] = {
        "success": True,
        "response": "4",
        "provider_used": near + secret,
        "model": near + secret,
        "finish_reason": near + secret,
        "metadata": {"region": secret},
    }
    provider.behave = body(orjson.dumps(facts), headers={"Content-Type": "application/json"})
    outcome = await asked(hybrid_router).answer(call())
    assert secret[:5] not in kept(outcome)
    provider.behave = body(orjson.dumps({**facts, "metadata": {}}), headers={"X-Region": near + secret})
    outcome = await asked(hybrid_router).answer(call())
    assert secret[:5] not in kept(outcome)


@pytest.mark.parametrize("spelled", [AS_JSON, ESCAPED, ESCAPED.upper().replace("\\U", "\\u")])
async def test_a_key_that_json_spells_in_another_way_is_redacted(provider, asked, spelled):
    text = f'{{"choices": [{{"message": {{"content": "{spelled}"}}, "finish_reason": "stop"}}], "x": "{spelled}"}}'
    provider.behave = body(text.encode())
    outcome = await asked().answer(call())
    assert outcome.output == REDACTED
    assert KEY not in kept(outcome)


@pytest.mark.parametrize("spelled", [AS_JSON, ESCAPED, IN_URL])
@pytest.mark.parametrize("form", ['{{"error": {{"message": "no {0}", "code": "{0}"}}}}', "<html>no {0}</html>"])
async def test_a_key_in_an_error_is_redacted(provider, asked, spelled, form):
    provider.behave = body(form.format(spelled).encode(), status=400)
    outcome = await asked().answer(call())
    assert f"no {REDACTED}" in outcome.detail
    assert not {KEY, spelled} & set(outcome.detail.split())


async def test_a_key_in_the_label_of_an_error_is_redacted_before_it_is_cut(provider, asked):
    near = "x" * (ECHO_LIMIT - 7) + ":"
    provider.behave = body(orjson.dumps({"success": False, "error": "no", "provider_used": near + KEY}), status=400)
    outcome = await asked(hybrid_router).answer(call())
    assert outcome.provider_used.startswith(near)
    assert KEY[:3] not in outcome.provider_used


async def test_a_url_in_an_error_shows_no_secret(provider, asked):
    provider.behave = refuse(404, "gone", "no POST https://u:hush-hush@h/v1?access_token=hush-hush&n=1")
    outcome = await asked().answer(call())
    assert f"https://u:{REDACTED}@h/v1?access_token={REDACTED}&n=1" in outcome.detail


@pytest.mark.parametrize("cut", [3, 8, 15])
async def test_a_key_split_over_the_events_of_a_stream_is_redacted(provider, asked, cut):
    provider.behave = body(streamed("Your key: ", KEY[:cut], KEY[cut:], "!", model="m-1"))
    outcome = await asked().answer(call())
    assert outcome.output == f"Your key: {REDACTED}!"
    found = json.loads(outcome.reply.response.json)
    assert KEY[:cut] not in repr(found)
    assert found["choices"][0]["message"]["content"] == outcome.output


async def test_the_events_of_a_stream_without_a_key_are_kept(provider, asked):
    provider.behave = body(streamed("Par", "is"))
    outcome = await asked().answer(call())
    assert outcome.output == "Paris"
    assert len(json.loads(outcome.reply.response.json)) == 3


async def test_no_value_is_redacted_for_its_members_name(provider, asked):
    pieces = [{"token": "Par", "logprob": -0.1, "bytes": [80]}, {"token": "is", "logprob": -0.2, "password": "x"}]
    choice = {"message": {"content": "Paris"}, "finish_reason": "stop", "logprobs": {"content": pieces}}
    provider.behave = answer(choices=[choice], authorization="none", version="2026-11-30 short")
    outcome = await asked().answer(call())
    found = json.loads(outcome.reply.response.json)
    assert found["choices"] == [choice]
    assert (found["authorization"], found["version"]) == ("none", "2026-11-30 short")


def test_of_an_answer_full_of_keys_no_beginning_of_a_key_is_left_at_the_end():
    keys = Keys.of(KEY)
    assert keys.hide_beginning(KEY * 3 + KEY[:7]) == REDACTED * 3
    assert keys.hide_beginning(KEY + " and so on") == f"{REDACTED} and so on"


def test_keys_are_not_shown_by_their_own_text():
    assert KEY not in repr(Keys.of(KEY, [OTHER]))
    assert OTHER not in repr(Keys.of(KEY, [OTHER]))
