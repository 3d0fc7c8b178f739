"""What a hybrid router is sent, and what its answers become."""

import pytest

from domain.outcome import Completed, End, Failed
from tests.providers.calls import call, read
from tests.support.provider_server import answer, body, refuse
from worker.providers import hybrid_router

ANSWER = {"success": True, "response": "4", "provider_used": "gpu-1"}


async def test_the_question_is_posted_as_the_prompt_with_the_region_that_is_wanted(provider, router):
    sent = call(parameters={"max_tokens": 500, "temperature": 0.1, "top_k": 5, "seed": None})
    outcome = await router.answer(sent)
    assert isinstance(outcome, Completed)
    assert (outcome.output, outcome.provider_used) == ("llama3.2-1b: What is 2+2?", "gpu-1")
    assert outcome.reply.usage == {"seconds": 0.25, "cost": 0.0003}
    (logged,) = provider.calls
    assert (logged.method, logged.path) == ("POST", "/us-east/v1/inference")
    assert logged.json == {
        "model": "llama3.2-1b",
        "prompt": "What is 2+2?",
        "temperature": 0.1,
        "max_tokens": 500,
        "top_k": 5,
        "region_preference": "us-east",
        "trace_id": sent.trace_id,
    }
    assert logged.headers["idempotency-key"] == sent.idempotency_key
    assert sent.trace_id in logged.headers["traceparent"]


@pytest.mark.parametrize("response", ["", None])
def test_an_empty_response_is_an_answer(response):
    assert read(hybrid_router, {**ANSWER, "response": response}).output == ""


async def test_the_region_may_stand_in_the_metadata(provider, router):
    provider.behave = answer(region="US")
    assert (await router.answer(call())).region_served == "us-east"
    provider.behave = answer(region="EU")
    outcome = await router.answer(call())
    assert (outcome.code, outcome.region_served, outcome.provider_used) == ("region_mismatch", "eu-west", "gpu-1")


async def test_the_header_says_better_than_the_metadata_which_region_served(provider, router):
    provider.behave = answer(region="EU", headers={"X-Region": "us-east"})
    assert (await router.answer(call())).region_served == "us-east"


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        {"response": "4"},
        {"success": "true", "response": "4"},
        {"success": 1, "response": "4"},
        {"success": True, "response": 4},
        {"success": True, "response": {"text": "4"}},
    ],
)
def test_an_answer_of_another_shape_is_a_bad_one(document):
    outcome = read(hybrid_router, document)
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable, outcome.end) == ("bad_answer", False, End.ANSWERED)


def test_a_detail_beside_a_response_is_no_failure():
    outcome = read(hybrid_router, {"success": True, "response": "4", "detail": "cached"})
    assert isinstance(outcome, Completed)
    assert outcome.output == "4"


def test_a_detail_in_place_of_a_response_is_one():
    outcome = read(hybrid_router, {"success": True, "detail": "Service unavailable"})
    assert isinstance(outcome, Failed)
    assert outcome.code == "provider_unavailable"


@pytest.mark.parametrize("metadata", [None, [], "us-east", {"region": None}, {"region": 4}, {"region": " "}])
def test_metadata_without_a_region_gives_none(metadata):
    assert read(hybrid_router, {**ANSWER, "metadata": metadata}).region_served is None


def test_the_detail_of_an_error_is_short_and_storable():
    outcome = read(hybrid_router, {**ANSWER, "provider_used": "gpu\0" * 100, "metadata": {"region": "\0"}})
    assert "\0" not in outcome.provider_used + outcome.region_served
    assert len(outcome.provider_used) == 100


def _failure(code, text="Nothing free.", **members):
    return {"success": False, "response": None, "error": text, "error_code": code, **members}


@pytest.mark.parametrize(
    ("code", "end"),
    [
        (None, End.ANSWERED),
        ("NO_PROVIDER", End.ANSWERED),
        ("TIMEOUT", End.AMBIGUOUS),
        ("provider_error", End.ANSWERED),
        ("INVALID_RESPONSE", End.ANSWERED),
        ("HTTP_502", End.AMBIGUOUS),
    ],
)
def test_a_failure_behind_the_router_may_pass(code, end):
    outcome = read(hybrid_router, _failure(code, provider_used="gpu-2"))
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable, outcome.end) == ("provider_error", True, end)
    assert (outcome.trips_breaker, outcome.provider_used) == (False, "gpu-2")
    assert "Nothing free." in outcome.detail
    assert (code or "") in outcome.detail


@pytest.mark.parametrize("code", ["MODEL_NOT_FOUND", "validation-error", "bad request", "401", 404, "HTTP 400"])
def test_a_fault_of_the_call_is_definitive(code):
    outcome = read(hybrid_router, _failure(code))
    assert (outcome.code, outcome.retryable) == ("provider_refused", False)


@pytest.mark.parametrize("code", ["BILLING_LIMIT", "insufficient-quota", "402", "SPEND_LIMIT_REACHED"])
def test_a_billing_limit_behind_the_router_opens_the_circuit_breaker(code):
    outcome = read(hybrid_router, _failure(code))
    assert (outcome.code, outcome.retryable, outcome.trips_breaker) == ("billing_limit", True, True)


def test_a_billing_limit_that_only_the_words_tell_opens_the_circuit_breaker():
    text = "HTTP 429: modal-http: Webhook failed: workspace billing cycle spend limit reached"
    outcome = read(hybrid_router, _failure("PROVIDER_ERROR", text))
    assert (outcome.code, outcome.trips_breaker, outcome.retry_after_seconds) == ("billing_limit", True, None)


@pytest.mark.parametrize("code", ["RATE_LIMITED", "rate-limit-exceeded", "429", "too_many_requests"])
def test_a_rate_limit_opens_the_circuit_breaker_for_as_long_as_the_router_says(code):
    silent = read(hybrid_router, _failure(code))
    assert (silent.code, silent.retryable, silent.trips_breaker) == ("rate_limited", True, True)
    assert silent.retry_after_seconds is None
    telling = read(hybrid_router, _failure(code), retry_after="7")
    assert (telling.trips_breaker, telling.retry_after_seconds) == (True, 7)


async def test_a_failure_may_come_with_a_status_too(provider, router):
    provider.behave = refuse(503, "NO_PROVIDER", "Nothing free.")
    outcome = await router.answer(call())
    assert (outcome.code, outcome.retryable, outcome.trips_breaker) == ("provider_unavailable", True, True)
    assert outcome.detail == "HTTP 503 (NO_PROVIDER): Nothing free."


@pytest.mark.parametrize("code", ["OVERLOADED", "provider_overloaded", "529", "503", "SERVICE_UNAVAILABLE"])
def test_overload_behind_the_router_opens_the_circuit_breaker(code):
    outcome = read(hybrid_router, _failure(code))
    assert (outcome.code, outcome.retryable, outcome.trips_breaker) == ("provider_unavailable", True, True)


async def test_errors_of_web_frameworks_are_reported(provider, router):
    provider.behave = body(b'{"detail": [{"loc": ["body", "prompt"], "msg": "too long"}]}', status=422)
    outcome = await router.answer(call())
    assert (outcome.code, outcome.retryable) == ("provider_refused", False)
    assert "too long" in outcome.detail


def test_usage_is_taken_from_the_report_of_the_router():
    metadata = {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    outcome = read(hybrid_router, {**ANSWER, "metadata": metadata, "inference_time": "1", "cost_estimate": 0})
    assert outcome.reply.usage == {"prompt_tokens": 3, "completion_tokens": 4, "cost": 0}
