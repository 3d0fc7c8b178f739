"""What an answer that isn't a success means: asked again or not, with which key, and behind which circuit breaker."""

import gzip
import json

import pytest
from pydantic import SecretStr

from domain.outcome import End, Failed
from tests.providers.calls import answered, call
from tests.support.provider_server import body, drip, head, raw, refuse, truncated
from worker.providers.refusals import failure_of

KEY = "sk-geheim-1234567890"


OPEN, CLOSED = False, True
PERHAPS_DONE = {408, 409, 499, 502, 504, 520, 522, 524, 598}
"""The provider may have done the work, or be doing it: a proxy answers that it got no answer."""
ENVOY = "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: {}"


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (429, {"Retry-After": "2"}, ("rate_limited", CLOSED, 2)),
        (429, {}, ("rate_limited", CLOSED, None)),
        (429, {"Retry-After": "soon"}, ("rate_limited", CLOSED, None)),
        (429, {"Retry-After": "0"}, ("rate_limited", CLOSED, None)),
        (503, {"Retry-After": "2"}, ("provider_unavailable", CLOSED, 2)),
        (503, {"retry-after-ms": "1500"}, ("provider_unavailable", CLOSED, 1.5)),
        (503, {}, ("provider_unavailable", CLOSED, None)),
        (529, {"Retry-After": "3"}, ("provider_unavailable", CLOSED, 3)),
        (529, {}, ("provider_unavailable", CLOSED, None)),
        (498, {}, ("provider_unavailable", CLOSED, None)),
        (500, {}, ("provider_error", OPEN, None)),
        (500, {"Retry-After": "2"}, ("provider_error", OPEN, 2)),
        (502, {}, ("provider_error", OPEN, None)),
        (502, {"Retry-After": "2"}, ("provider_unavailable", CLOSED, 2)),
        (504, {}, ("provider_error", OPEN, None)),
        (520, {}, ("provider_error", OPEN, None)),
        (522, {"Retry-After": "2"}, ("provider_unavailable", CLOSED, 2)),
        (524, {}, ("provider_error", OPEN, None)),
        (408, {}, ("provider_error", OPEN, None)),
        (425, {}, ("provider_error", OPEN, None)),
        (499, {}, ("provider_error", OPEN, None)),
        (521, {}, ("provider_error", OPEN, None)),
        (522, {}, ("provider_error", OPEN, None)),
        (524, {"Retry-After": "2"}, ("provider_unavailable", CLOSED, 2)),
        (598, {}, ("provider_error", OPEN, None)),
        (409, {}, ("call_in_flight", OPEN, None)),
        (409, {"Retry-After": "2"}, ("call_in_flight", OPEN, 2)),
        (400, {}, ("provider_refused", OPEN, None)),
        (401, {}, ("provider_refused", OPEN, None)),
        (404, {}, ("provider_refused", OPEN, None)),
        (413, {"Retry-After": "2"}, ("provider_refused", OPEN, None)),
        (422, {}, ("provider_refused", OPEN, None)),
        (302, {"Location": "/elsewhere"}, ("provider_redirects", OPEN, None)),
        (307, {"Location": "/elsewhere"}, ("provider_redirects", OPEN, None)),
    ],
)
async def test_the_http_status_decides_how_a_refusal_is_classified(provider, chat, status, headers, expected):
    code, trips_breaker, seconds = expected
    provider.behave = refuse(status, "some_code", "Some reason.", headers=headers)
    outcome = await chat.answer(call())
    assert outcome == Failed(
        code,
        f"HTTP {status} (some_code): Some reason.",
        retryable=code not in {"provider_refused", "provider_redirects"},
        end=End.AMBIGUOUS if status in PERHAPS_DONE else End.ANSWERED,
        trips_breaker=trips_breaker,
        may_be_own=status == 503 and not headers,
        retry_after_seconds=seconds,
    )
    assert len(provider.calls) == 1  # a redirect isn't followed, and nothing is repeated behind our back


@pytest.mark.parametrize(
    ("status", "error", "end"),
    [
        (200, {"code": 504, "message": "The provider took too long."}, End.AMBIGUOUS),
        (200, {"type": "timeout", "message": "Request timed out."}, End.AMBIGUOUS),
        (200, {"status": "DEADLINE_EXCEEDED", "message": "Deadline expired."}, End.AMBIGUOUS),
        (200, {"code": 502, "message": "Provider returned error"}, End.AMBIGUOUS),
        (200, {"code": 500, "message": "Internal error"}, End.ANSWERED),
        (500, {"code": 504, "message": "Upstream"}, End.AMBIGUOUS),
        (500, {"type": "APITimeoutError", "message": "litellm.Timeout"}, End.AMBIGUOUS),
        (503, {"code": "deadline_exceeded", "message": "Gone."}, End.AMBIGUOUS),
        (503, {"message": ENVOY.format("connection termination")}, End.AMBIGUOUS),
        (503, {"message": ENVOY.format("remote reset")}, End.AMBIGUOUS),
        (503, {"message": "upstream connect error or disconnect/reset before headers"}, End.AMBIGUOUS),
        (503, {"message": ENVOY.format("connection failure")}, End.ANSWERED),
        (503, {"message": ENVOY.format("remote connection failure, transport failure reason: 111")}, End.ANSWERED),
        (503, {"message": ENVOY.format("overflow")}, End.ANSWERED),
        (503, {"message": "Service temporarily unavailable."}, End.ANSWERED),
        (502, {"message": "no healthy upstream"}, End.ANSWERED),
        (502, {"message": "no live upstreams while connecting to upstream"}, End.ANSWERED),
        (504, {"code": "rate_limit_exceeded", "message": "Slow down."}, End.ANSWERED),
        (502, {"type": "overloaded_error", "message": "Overloaded"}, End.ANSWERED),
    ],
)
async def test_an_end_is_ambiguous_if_a_proxy_may_have_lost_the_answer(provider, chat, status, error, end):
    provider.behave = body(json.dumps({"error": error}).encode(), status=status)
    outcome = await chat.answer(call())
    assert isinstance(outcome, Failed)
    assert (outcome.retryable, outcome.end) == (True, end)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, {"code": 429, "message": "Rate limited upstream."}),
        (400, {"code": "ThrottlingException", "message": "Rate exceeded"}),
        (403, {"code": "rateLimitExceeded", "message": "Too many."}),
        (429, {"code": "429", "type": "RateLimitReached", "message": "Please retry after 26 seconds."}),
        (500, {"code": 429, "message": "litellm.RateLimitError"}),
        (500, {"type": "RESOURCE_EXHAUSTED", "message": "Quota"}),
        (503, {"code": "SlowDown", "message": "Reduce your request rate."}),
    ],
)
def test_a_rate_limit_is_recognized_under_any_status(status, error):
    outcome = failure_of(answered({"error": error}, status))
    assert (outcome.code, outcome.retryable, outcome.trips_breaker) == ("rate_limited", True, CLOSED)
    assert not outcome.may_be_own


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, {"type": "overloaded_error", "message": "Overloaded"}),
        (400, {"code": "engine_overloaded", "message": "No."}),
        (424, {"type": "overloaded", "message": "Model is overloaded"}),
        (500, {"type": "overloaded_error", "message": "Overloaded"}),
        (500, {"code": "529", "message": "No."}),
        (502, {"code": "capacity_exceeded", "message": "No."}),
        (503, {"code": "ServerOverloaded", "message": "No."}),
        (529, {"message": "Overloaded"}),
    ],
)
def test_overload_is_recognized_under_any_status(status, error):
    outcome = failure_of(answered({"error": error}, status))
    assert (outcome.code, outcome.retryable, outcome.trips_breaker) == ("provider_unavailable", True, CLOSED)
    assert not outcome.may_be_own


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, {"code": 503, "message": "No."}),
        (500, {"code": "service_unavailable", "message": "No."}),
        (500, {"message": "The engine is currently overloaded, please try again later."}),
        (502, {"message": "no healthy upstream"}),
        (503, {"type": "ServiceUnavailableError", "message": "No."}),
        (503, {"message": "Something"}),
    ],
)
def test_a_refusal_that_may_be_about_this_call_alone_says_so(status, error):
    outcome = failure_of(answered({"error": error}, status))
    assert (outcome.code, outcome.trips_breaker, outcome.may_be_own) == ("provider_unavailable", CLOSED, True)
    telling = failure_of(answered({"error": error}, status, retry_after="5"))
    assert (telling.code, telling.trips_breaker, telling.may_be_own) == ("provider_unavailable", CLOSED, False)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"code": "bad_request", "message": "Your prompt `why is it overloaded` is too long."}),
        (500, {"message": "Error while answering: explain overloaded functions"}),
        (500, {"type": "server_error", "message": "The server had an error processing your request."}),
        (500, {"code": "model_error", "message": "Out of memory."}),
    ],
)
def test_words_that_a_question_may_hold_open_no_circuit_breaker(status, error):
    assert not failure_of(answered({"error": error}, status)).trips_breaker


@pytest.mark.parametrize("status", [413, 429])
def test_a_call_larger_than_its_whole_limit_is_not_waited_for(status):
    """No wait makes room for it: a circuit breaker that it probes would stay open for everybody."""
    text = "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 41000. Please try again in 8s."
    outcome = failure_of(
        answered({"error": {"message": text, "code": "rate_limit_exceeded", "type": "tokens"}}, status)
    )
    assert (outcome.code, outcome.retryable, outcome.trips_breaker) == ("provider_refused", False, OPEN)


def test_the_words_say_how_long_where_no_header_does():
    text = "Rate limit reached for gpt-4o on requests per min. Please try again in 6m0s."
    assert failure_of(answered({"error": {"message": text}}, 429)).retry_after_seconds == 360
    assert failure_of(answered({"error": {"message": text}}, 429, retry_after="7")).retry_after_seconds == 7


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        (402, None, "Insufficient Balance"),
        (429, "insufficient_quota", "You exceeded your current quota."),
        (429, "billing_hard_limit_reached", "Billing hard limit has been reached"),
        (400, "billing_hard_limit_reached", "Billing hard limit has been reached"),
        (429, None, "modal-http: Webhook failed: workspace billing cycle spend limit reached"),
        (429, None, "Insufficient credits. Add more to go on."),
    ],
)
def test_a_billing_limit_opens_the_circuit_breaker_whether_or_not_it_says_for_how_long(status, code, text):
    silent = failure_of(answered({"error": {"message": text, "code": code}}, status))
    assert (silent.code, silent.retryable, silent.end) == ("billing_limit", True, End.ANSWERED)
    assert (silent.trips_breaker, silent.retry_after_seconds) == (True, None)
    telling = failure_of(answered({"error": {"message": text, "code": code}}, status, retry_after="60"))
    assert (telling.trips_breaker, telling.retry_after_seconds) == (True, 60)


def test_a_type_names_a_billing_limit_as_well_as_a_code():
    error = {"message": "No.", "type": "insufficient_quota", "code": None}
    assert failure_of(answered({"error": error}, 429)).code == "billing_limit"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (429, "Rate limit reached. Add a payment method at https://provider.example/account/billing to raise it."),
        (400, "Your prompt `our billing cycle and its spend limit` is too long."),
    ],
)
def test_words_about_billing_alone_are_no_billing_limit(status, text):
    assert failure_of(answered({"error": {"message": text, "code": "other"}}, status)).code != "billing_limit"


async def test_the_key_goes_to_the_provider_and_into_no_detail(provider, at):
    provider.behave = refuse(401, "invalid_api_key", f"Incorrect API key provided: {KEY}. " + "x" * 2000)
    outcome = await at(provider.url, key=SecretStr(KEY)).answer(call())
    assert provider.calls[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in outcome.detail
    assert "Incorrect API key provided: [redacted]" in outcome.detail
    assert len(outcome.detail) == 1000


async def test_a_key_at_the_cut_is_not_half_shown(provider, at):
    provider.behave = body(b"x" * 985 + KEY.encode(), status=400)
    outcome = await at(provider.url, key=SecretStr(KEY)).answer(call())
    assert "sk-" not in outcome.detail


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (b"", "HTTP 500"),
        (b"upstream\n  is down", "HTTP 500: upstream is down"),
        (b"\xff", "HTTP 500: \ufffd"),
        (b'{"error": "busy"}', "HTTP 500: busy"),
        (b'{"error": {"code": 12}}', 'HTTP 500 (12): {"code": 12}'),
        (b'{"message": "busy"}', "HTTP 500: busy"),
        (b'{"detail": "busy"}', "HTTP 500: busy"),
        (b"[1]", "HTTP 500: [1]"),
        (b"{}", "HTTP 500: {}"),
        (b"null", "HTTP 500: null"),
    ],
)
def test_the_providers_own_words_are_reported_in_any_shape(text, detail):
    assert failure_of(answered(text, 500)).detail == detail


async def test_of_a_packed_refusal_nothing_is_reported_but_its_status(provider, chat):
    provider.behave = body(gzip.compress(b"busy"), status=500, headers={"Content-Encoding": "gzip"})
    assert (await chat.answer(call())).detail == "HTTP 500"


async def test_a_refusal_stands_if_the_rest_of_it_never_comes(provider, chat):
    provider.behave = truncated(status=400)
    assert (await chat.answer(call())).code == "provider_refused"
    provider.behave = drip(b"busy", seconds=60, status=429)
    assert (await chat.answer(call(timeout_seconds=0.3))).code == "rate_limited"


async def test_of_a_large_refusal_only_the_beginning_is_read(provider, chat):
    provider.behave = raw(head(500, {"Content-Length": str(10 * 2**20)}) + b"x" * (10 * 2**20))
    outcome = await chat.answer(call())
    assert (outcome.code, outcome.retryable) == ("provider_error", True)
    assert len(outcome.detail) == 1000
