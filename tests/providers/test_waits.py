"""How long a provider asks to be left alone, in any of the forms in which providers say it."""

import pytest

from tests.providers.calls import NOW, answered
from worker.providers.waits import RETRY_AFTER_CAP_SECONDS, retry_after_seconds, seconds_in_words

EPOCH = int(NOW.timestamp())


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
        ("2026-11-24T12:00:02Z", 2),
        ("2s", 2),
        ("-1", None),
        ("", None),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        ("1e3", None),
        ("Tue, 42 Nov 2026 12:00:00 GMT", None),
        ("Tue, 24 Nov 99999999999999999999 12:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(given, seconds):
    assert retry_after_seconds(answered({}, 429, retry_after=given)) == seconds


def test_a_date_is_compared_with_the_clock_of_its_sender():
    theirs = {"date": "Tue, 24 Nov 2026 15:00:00 GMT", "retry_after": "Tue, 24 Nov 2026 15:00:05 GMT"}
    assert retry_after_seconds(answered({}, 429, **theirs)) == 5


def test_no_header_asks_for_nothing():
    assert retry_after_seconds(answered({}, 429)) is None


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("1500", 1.5), ("120.5", 0.1205), ("0", 0), ("99999999999", RETRY_AFTER_CAP_SECONDS), ("-5", 7), ("soon", 7)],
)
def test_milliseconds_go_before_seconds_where_they_can_be_read(given, seconds):
    assert retry_after_seconds(answered({}, 503, retry_after_ms=given, retry_after="7")) == seconds


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("120ms", 0.12),
        ("2m59.56s", 179.56),
        ("1h30m", RETRY_AFTER_CAP_SECONDS),
        ("7.66s", 7.66),
        ("500us", 0.0005),
        ("11.5", 11.5),
        ("0s", None),
        ("-1s", None),
        ("1 s", None),
        ("s", None),
        (str(EPOCH + 30), 30),
        (str((EPOCH + 30) * 1000), 30),
        (str(EPOCH - 30), None),
        ("2026-11-24T12:00:30Z", 30),
        ("2026-11-24T13:00:30+01:00", 30),
        ("2020-01-01T00:00:00Z", None),
        ("9" * 400, RETRY_AFTER_CAP_SECONDS),
    ],
)
@pytest.mark.parametrize(
    "name",
    [
        "x-ratelimit-reset-requests",
        "x-ratelimit-reset-tokens",
        "x-ratelimit-reset",
        "ratelimit-reset",
        "anthropic-ratelimit-tokens-reset",
        "x-ratelimit-reset-tokens-minute",
    ],
)
def test_the_reset_of_a_rate_limit_says_how_long_in_any_form(name, given, seconds):
    assert retry_after_seconds(answered({}, 429, **{name: given})) == pytest.approx(seconds)


def test_retry_after_goes_before_the_resets():
    assert retry_after_seconds(answered({}, 429, retry_after="2", x_ratelimit_reset="60")) == 2


def test_the_limit_that_is_used_up_is_the_one_to_wait_for():
    requests = {"x_ratelimit_reset_requests": "1s", "x_ratelimit_remaining_requests": "0"}
    tokens = {"x_ratelimit_reset_tokens": "6m0s", "x_ratelimit_remaining_tokens": "90000"}
    assert retry_after_seconds(answered({}, 429, **requests, **tokens)) == 1
    both = {**tokens, "x_ratelimit_remaining_tokens": "0"}
    assert retry_after_seconds(answered({}, 429, **requests, **both)) == 360
    neither = {**requests, "x_ratelimit_remaining_requests": "3"}
    assert retry_after_seconds(answered({}, 429, **neither, **tokens)) == 1


def test_limits_that_have_something_left_are_no_reason_to_wait_for_a_failing_server():
    left = {"x_ratelimit_reset_requests": "120ms", "x_ratelimit_remaining_requests": "9999"}
    assert retry_after_seconds(answered({}, 503, **left)) is None
    assert retry_after_seconds(answered({}, 503, **{**left, "x_ratelimit_remaining_requests": "0"})) == 0.12


@pytest.mark.parametrize("given", ["limit=100, remaining=0, reset=50", '"burst";r=9;t=3, "minute";r=0;t=50'])
def test_both_drafts_of_the_ratelimit_header_are_read(given):
    assert retry_after_seconds(answered({}, 429, ratelimit=given)) == 50


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Please try again in 20s.", 20),
        ("Please try again in 6m0s. Visit https://provider.example.", 360),
        ("Please try again in 120ms.", 0.12),
        ("Please retry after 26 seconds.", 26),
        ("Please retry in 34.074824224s.", 34.074824224),
        ("Wait 2 minutes", 120),
        ("Try again in 1 hour 30 minutes", RETRY_AFTER_CAP_SECONDS),
        ("retry in 250 milliseconds", 0.25),
        ("Please try again later.", None),
        ("Retry 3 times.", None),
        ("try again in 5 steps", None),
        ("", None),
    ],
)
def test_words_say_how_long(text, seconds):
    assert seconds_in_words(text) == pytest.approx(seconds)
