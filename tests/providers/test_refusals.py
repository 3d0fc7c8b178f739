"""What an answer that isn't a success means: asked again or not, with which key, behind a gate or not."""

import gzip

import pytest
from pydantic import SecretStr

from domain.outcome import End, Failed
from tests.provider_server import body, drip, head, raw, refuse, truncated
from tests.providers.calls import answered, call
from worker.providers.refusals import RETRY_AFTER_CAP_SECONDS, refused, retry_after_seconds

KEY = "sk-geheim-1234567890"


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (429, {"Retry-After": "2"}, ("rate_limited", 2)),
        (429, {}, ("rate_limited", None)),
        (429, {"Retry-After": "soon"}, ("rate_limited", None)),
        (503, {"Retry-After": "2"}, ("provider_unavailable", 2)),
        (503, {}, ("provider_error", None)),
        (500, {}, ("provider_error", None)),
        (500, {"Retry-After": "2"}, ("provider_error", None)),
        (502, {}, ("provider_error", None)),
        (504, {}, ("provider_error", None)),
        (408, {}, ("provider_error", None)),
        (425, {}, ("provider_error", None)),
        (409, {}, ("call_in_flight", None)),
        (400, {}, ("provider_refused", None)),
        (401, {}, ("provider_refused", None)),
        (404, {}, ("provider_refused", None)),
        (413, {"Retry-After": "2"}, ("provider_refused", None)),
        (422, {}, ("provider_refused", None)),
        (302, {"Location": "/elsewhere"}, ("provider_redirects", None)),
        (307, {"Location": "/elsewhere"}, ("provider_redirects", None)),
    ],
)
async def test_the_status_decides(provider, chat, status, headers, expected):
    code, gate_seconds = expected
    provider.behave = refuse(status, "some_code", "Some reason.", headers=headers)
    outcome = await chat.answer(call())
    assert outcome == Failed(
        code,
        f"HTTP {status} (some_code): Some reason.",
        retryable=code not in {"provider_refused", "provider_redirects"},
        end=End.AMBIGUOUS if code == "call_in_flight" else End.ANSWERED,
        closes_gate=gate_seconds is not None,
        retry_after_seconds=gate_seconds,
    )
    assert len(provider.calls) == 1  # a redirect isn't followed, and nothing is repeated behind our back


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
def test_a_billing_limit_closes_the_gate_whether_or_not_it_says_for_how_long(status, code, text):
    silent = refused(answered({"error": {"message": text, "code": code}}, status))
    assert (silent.code, silent.retryable, silent.end) == ("billing_limit", True, End.ANSWERED)
    assert (silent.closes_gate, silent.retry_after_seconds) == (True, None)
    telling = refused(answered({"error": {"message": text, "code": code}}, status, retry_after="60"))
    assert (telling.closes_gate, telling.retry_after_seconds) == (True, 60)


def test_a_type_tells_a_billing_limit_as_well_as_a_code():
    error = {"message": "No.", "type": "insufficient_quota", "code": None}
    assert refused(answered({"error": error}, 429)).code == "billing_limit"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (429, "Rate limit reached. Add a payment method at https://provider.example/account/billing to raise it."),
        (400, "Your prompt `our billing cycle and its spend limit` is too long."),
    ],
)
def test_words_about_billing_alone_are_no_billing_limit(status, text):
    assert refused(answered({"error": {"message": text, "code": "other"}}, status)).code != "billing_limit"


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("0", 0),
        ("2", 2),
        (" 2 ", 2),
        ("1.5", 1.5),
        ("86400", RETRY_AFTER_CAP_SECONDS),
        ("9" * 5000, RETRY_AFTER_CAP_SECONDS),
        ("Tue, 24 Nov 2026 12:00:02 GMT", 2),
        ("Tuesday, 24-Nov-26 12:00:02 GMT", 2),
        ("Tue, 24 Nov 2026 11:59:00 GMT", 0),
        ("Tue, 24 Nov 2099 12:00:00 GMT", RETRY_AFTER_CAP_SECONDS),
        ("-1", None),
        ("", None),
        ("soon", None),
        ("2s", None),
        ("inf", None),
        ("Tue, 42 Nov 2026 12:00:00 GMT", None),
        ("Tue, 24 Nov 99999999999999999999 12:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(given, seconds):
    assert retry_after_seconds(answered({}, 429, retry_after=given)) == seconds


def test_a_date_is_compared_with_the_clock_of_who_sent_it():
    theirs = {"date": "Tue, 24 Nov 2026 15:00:00 GMT", "retry_after": "Tue, 24 Nov 2026 15:00:05 GMT"}
    assert retry_after_seconds(answered({}, 429, **theirs)) == 5


def test_no_retry_after_asks_for_nothing():
    assert retry_after_seconds(answered({}, 429)) is None


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
def test_the_providers_own_words_are_told_in_any_shape(text, detail):
    assert refused(answered(text, 500)).detail == detail


async def test_of_a_packed_refusal_nothing_is_told_but_its_status(provider, chat):
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
