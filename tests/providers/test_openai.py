"""What an OpenAI-compatible provider is sent, and what its answers become."""

import gzip
import re

import orjson
import pytest

from domain.outcome import Completed, End, Failed
from tests.providers.calls import call, read
from tests.support.provider_server import answer, body
from worker.providers import openai
from worker.providers.http import open_client


async def test_the_question_is_posted_as_the_only_message(provider, chat):
    outcome = await chat.answer(call(parameters={"max_tokens": 500, "temperature": 0.1, "stop": ["\n"]}))
    assert isinstance(outcome, Completed)
    assert outcome.output == "llama3.2-1b: What is 2+2?"
    assert outcome.reply.usage == {"prompt_tokens": 5, "completion_tokens": 7}
    assert outcome.region_served is None
    (logged,) = provider.calls
    assert (logged.method, logged.path) == ("POST", "/us-east/v1/chat/completions")
    assert logged.json == {
        "model": "llama3.2-1b",
        "messages": [{"role": "user", "content": "What is 2+2?"}],
        "max_tokens": 500,
        "temperature": 0.1,
        "stop": ["\n"],
    }


async def test_each_region_has_its_own_url(provider, chat):
    await chat.answer(call(region="eu-west"))
    assert provider.calls[0].path == "/eu-west/v1/chat/completions"


async def test_a_query_of_the_base_url_is_kept(provider, at):
    await at(f"{provider.url}?api-version=1&x=").answer(call())
    assert provider.calls[0].path == "/chat/completions?api-version=1&x=/us-east/v1"


async def test_a_parameter_that_is_null_is_left_to_the_provider(provider, chat):
    await chat.answer(call(parameters={"temperature": None, "top_p": 0}))
    assert provider.calls[0].json.keys() == {"model", "messages", "top_p"}


async def test_a_call_names_itself_and_its_trace(provider, chat):
    sent = call(key_no=3)
    await chat.answer(sent)
    headers = provider.calls[0].headers
    assert headers["idempotency-key"] == sent.idempotency_key
    assert re.fullmatch(rf"00-{sent.trace_id}-[0-9a-f]{{16}}-01", headers["traceparent"])
    assert headers["user-agent"].startswith("breakwater/")
    assert headers["content-type"] == "application/json"
    assert headers["accept-encoding"] == "identity"
    assert "authorization" not in headers


async def test_the_same_call_again_has_the_same_key_and_another_span(provider, chat):
    for _ in range(2):
        await chat.answer(call())
    first, second = (logged.headers for logged in provider.calls)
    assert first["idempotency-key"] == second["idempotency-key"]
    assert first["traceparent"] != second["traceparent"]


async def test_a_cookie_of_one_answer_is_not_sent_with_the_next_call(provider, chat):
    provider.behave = answer(headers={"Set-Cookie": "session=1; Path=/"})
    for _ in range(2):
        await chat.answer(call())
    assert "cookie" not in provider.calls[1].headers


async def test_no_proxy_of_the_environment_is_used(provider, at, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    http_provider = at(provider.url, client=open_client(1))
    assert isinstance(await http_provider.answer(call()), Completed)
    await http_provider.aclose()


async def test_the_region_that_served_is_reported_in_its_canonical_spelling(provider, chat):
    provider.behave = answer(region=" us-EAST ")
    assert (await chat.answer(call())).region_served == "us-east"
    provider.behave = answer(region="USA")
    assert (await chat.answer(call())).region_served == "us-east"


@pytest.mark.parametrize(("reported", "served"), [("EU", "eu-west"), ("eu-west", "eu-west"), ("mars", "mars")])
async def test_an_answer_from_another_region_is_no_answer(provider, chat, reported, served):
    provider.behave = answer(region=reported)
    outcome = await chat.answer(call())
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable, outcome.end) == ("region_mismatch", False, End.ANSWERED)
    assert outcome.region_served == served
    assert "us-east" in outcome.detail
    assert reported in outcome.detail


@pytest.mark.parametrize("content", ["", None])
async def test_an_empty_answer_is_an_answer(provider, chat, content):
    provider.behave = answer(choices=[{"message": {"role": "assistant", "content": content}}])
    outcome = await chat.answer(call())
    assert isinstance(outcome, Completed)
    assert outcome.output == ""


@pytest.mark.parametrize(
    "document",
    [
        [],
        "text",
        None,
        {"choices": [{}]},
        {"choices": ["text"]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": "text"}]},
        {"choices": [{"message": {"content": 4}}]},
        {"choices": [{"message": {"content": [4]}}]},
        {"choices": [{"message": {"content": {"text": "4"}}}]},
        {"choices": {"0": {"message": {"content": "4"}}}},
    ],
)
def test_an_answer_of_another_shape_is_a_bad_one(document):
    outcome = read(openai, document)
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable, outcome.end) == ("bad_answer", False, End.ANSWERED)


def test_a_bad_answer_shows_the_received_text():
    assert "later" in read(openai, {"choices": ["later"]}).detail


@pytest.mark.parametrize("text", [b'{"choices": [', b"<html>", b"\xff\xfe", b"[" * 100_000])
async def test_an_answer_that_is_no_json_is_a_bad_answer(provider, chat, text):
    provider.behave = body(text)
    outcome = await chat.answer(call())
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable, outcome.end) == ("bad_answer", False, End.ANSWERED)


async def test_an_answer_cut_off_within_a_character_is_kept(provider, chat):
    provider.behave = body(b'{"choices": [{"message": {"content": "4 \\ud83d"}}]}')
    outcome = await chat.answer(call())
    assert isinstance(outcome, Completed)
    assert outcome.output == "4 \ud83d"


async def test_figures_that_are_none_spoil_no_answer(provider, chat):
    provider.behave = body(b'{"choices": [{"message": {"content": "4"}}], "usage": {"prompt_tokens": NaN}}')
    outcome = await chat.answer(call())
    assert isinstance(outcome, Completed)
    assert (outcome.output, outcome.reply.usage) == ("4", None)
    assert orjson.loads(outcome.reply.response.json)["usage"] == {"prompt_tokens": None}


async def test_an_answer_that_came_packed_is_not_unpacked(provider, chat):
    provider.behave = body(gzip.compress(b'{"choices": []}'), headers={"Content-Encoding": "gzip"})
    outcome = await chat.answer(call())
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("bad_answer", False)
    assert "packed" in outcome.detail


CHOICES = [{"message": {"content": "4"}}]


@pytest.mark.parametrize(
    ("members", "headers", "usage"),
    [
        ({}, {}, None),
        ({"usage": None}, {}, None),
        ({"usage": {"prompt_tokens": 3, "completion_tokens": 0}}, {}, {"prompt_tokens": 3, "completion_tokens": 0}),
        ({"usage": {"prompt_tokens": "3", "completion_tokens": True, "cost": -1}}, {}, None),
        ({"usage": {"cost": 0.002}}, {}, {"cost": 0.002}),
        ({}, {"openai_processing_ms": "1250"}, {"seconds": 1.25}),
        ({}, {"openai_processing_ms": "nan"}, None),
        ({}, {"openai_processing_ms": "soon"}, None),
        ({"timings": {"prompt_ms": 250.0, "predicted_ms": 500}}, {}, {"seconds": 0.75}),
        ({"timings": {"prompt_ms": 250.0}}, {}, None),
    ],
)
def test_usage_is_taken_from_the_answer(members, headers, usage):
    outcome = read(openai, {"choices": CHOICES, **members}, **headers)
    assert isinstance(outcome, Completed)
    assert outcome.reply.usage == usage
