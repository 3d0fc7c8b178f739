"""Errors within an answer whose status says that all went well: each is what the status would be that says the same."""

import pytest

from domain.outcome import Completed, Failed
from tests.providers.calls import answered, read
from worker.providers import hybrid_router, openai
from worker.providers.answers import ErrorReport, error_in
from worker.providers.refusals import failure_of
from worker.providers.statuses import status_of

CHOICE = {"message": {"content": "Paris."}, "finish_reason": "stop"}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 429}, 429),
        ({"code": "429"}, 429),
        ({"status": 503, "code": None}, 503),
        ({"status_code": 502}, 502),
        ({"code": "http_504"}, 504),
        ({"type": "server_error", "code": 429}, 429),
        ({"code": "rate_limit_exceeded", "type": "requests"}, 429),
        ({"type": "RateLimitError"}, 429),
        ({"statusCode": 429, "message": "?"}, 429),
        ({"http_status": 503, "message": "?"}, 503),
        ({"error_code": "RATE_LIMITED", "message": "?"}, 429),
        ({"type": "rate-limit error"}, 429),
        ({"status": "RESOURCE_EXHAUSTED"}, 429),
        ({"type": "ThrottlingException"}, 429),
        ({"status": "UNAVAILABLE"}, 503),
        ({"type": "ServiceUnavailableError"}, 503),
        ({"type": "overloaded_error"}, 529),
        ({"code": "engine_overloaded"}, 529),
        ({"status": "DEADLINE_EXCEEDED"}, 504),
        ({"type": "InternalServerError"}, 500),
        ({"type": "invalid_request_error"}, 400),
        ({"type": "BadRequestError"}, 400),
        ({"status": "INVALID_ARGUMENT"}, 400),
        ({"code": "context_length_exceeded"}, 400),
        ({"code": "ContentPolicyViolationError"}, 400),
        ({"type": "AuthenticationError"}, 401),
        ({"status": "PERMISSION_DENIED"}, 403),
        ({"code": "DeploymentNotFound"}, 404),
        ({"metadata": {"code": 429}, "message": "Provider returned error"}, 429),
        ({"error": {"code": 503, "message": "inner"}}, 503),
        ({"message": "upstream: HTTP 502 Bad Gateway"}, 502),
        ({"message": "Error code: 429 - slow down"}, 429),
        ({"message": "Too Many Requests"}, 429),
        ({"message": "The engine is currently overloaded, please try again later"}, 529),
        ({"message": "Service unavailable"}, 503),
        ({"message": "The model `x` does not exist"}, 404),
        ({"message": "The conversation has 500 turns and code 1234."}, 500),
        ({"message": "Something went wrong."}, 500),
        ({"code": 7, "message": "?"}, 500),
        ("overloaded", 529),
        (True, 500),
    ],
)
def test_an_error_says_the_same_as_a_status(error, status):
    assert status_of(error_in({"error": error})) == status


@pytest.mark.parametrize("form", [None, "", False, {}, {"code": "", "message": None}, [], {"code": 0}])
def test_an_error_for_forms_sake_is_none(form):
    assert isinstance(read(openai, {"error": form, "choices": [CHOICE]}), Completed)
    assert isinstance(read(openai, {"choices": [{**CHOICE, "error": form}]}), Completed)
    assert isinstance(read(hybrid_router, {"success": True, "response": "Paris.", "error": form}), Completed)


@pytest.mark.parametrize("place", ["top", "choice", "list", "router"])
def test_an_error_counts_in_any_place_and_beside_any_members(place):
    error = {"code": 429, "message": "Slow down."}
    outcome = {
        "top": lambda: read(openai, {"error": error, "choices": [CHOICE]}, retry_after="7"),
        "choice": lambda: read(openai, {"choices": [{**CHOICE, "error": error}]}, retry_after="7"),
        "list": lambda: read(openai, [{"error": error}], retry_after="7"),
        "router": lambda: read(hybrid_router, {"success": True, "response": "4", "error": error}, retry_after="7"),
    }[place]()
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("rate_limited", True)
    assert (outcome.trips_breaker, outcome.retry_after_seconds) == (True, 7)
    assert outcome.detail.endswith("(429): Slow down.")


def test_tokens_that_a_broken_answer_cost_are_kept():
    usage = {"prompt_tokens": 9, "completion_tokens": 2}
    outcome = read(openai, {"choices": [{**CHOICE, "finish_reason": "error"}], "usage": usage, "model": "m-1"})
    assert (outcome.code, outcome.reply.usage, outcome.reply.model_used) == ("provider_error", usage, "m-1")
    assert (outcome.reply.finish_reason, outcome.reply.is_complete) == ("error", None)


@pytest.mark.parametrize("document", [{}, {"choices": []}, {"choices": None}, {"id": "1", "object": "chat.completion"}])
def test_an_answer_without_a_choice_is_asked_for_again(document):
    outcome = read(openai, document)
    assert (outcome.code, outcome.retryable) == ("provider_error", True)
    assert outcome.detail.startswith("HTTP 200 without a choice")


@pytest.mark.parametrize("finish_reason", ["content_filter", "length", "stop"])
def test_a_choice_that_only_says_how_it_ended_is_an_empty_answer(finish_reason):
    outcome = read(openai, {"choices": [{"finish_reason": finish_reason}]})
    assert isinstance(outcome, Completed)
    assert (outcome.output, outcome.reply.is_complete) == ("", finish_reason == "stop")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([], ""),
        (["Par", "is."], "Paris."),
        ([{"type": "output_text", "text": "Paris."}], "Paris."),
        ([{"text": "Paris."}], "Paris."),
        ([{"type": "text", "text": {"value": "Paris.", "annotations": []}}], "Paris."),
        ([{"type": "text", "content": "Paris."}], "Paris."),
        ([{"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "Paris."}], "Paris."),
        ([{"type": "image_url", "image_url": {"url": "data:"}}, {"type": "text", "text": "Paris."}], "Paris."),
    ],
)
def test_text_in_parts_is_text(content, text):
    for outcome in (
        read(openai, {"choices": [{"message": {"content": content}}]}),
        read(hybrid_router, {"success": True, "response": content}),
    ):
        assert isinstance(outcome, Completed)
        assert outcome.output == text


def test_a_refusal_among_the_parts_is_a_refusal():
    parts = [{"type": "refusal", "refusal": "No."}]
    outcome = read(openai, {"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]})
    assert (outcome.output, outcome.reply.is_complete, outcome.reply.finish_reason) == ("No.", False, "stop")


def test_words_alone_end_no_cell_but_for_a_model_that_isnt_there():
    for text in ("not found", "Unauthorized", "invalid", "forbidden", "bad request", "content filter"):
        assert status_of(ErrorReport((), text)) == 500


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "19s"}
RESET = {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "19"}


@pytest.mark.parametrize("status", [200, 429])
@pytest.mark.parametrize(
    "members",
    [
        {"details": [{"@type": "help"}, RETRY_INFO]},
        {"metadata": {"headers": RESET, "provider_name": None}},
        {"metadata": {"retry_after": 19}},
        {"retry_after": "19"},
    ],
)
def test_an_error_that_says_in_its_json_how_long_to_wait_is_heard(status, members):
    document = {"error": {"code": 429, "message": "No.", **members}}
    outcome = read(openai, document) if status == 200 else failure_of(answered(document, 429))
    assert (outcome.code, outcome.trips_breaker, outcome.retry_after_seconds) == ("rate_limited", True, 19)


@pytest.mark.parametrize("headers", [None, [], "19", {"retry-after": None}, {"räum": "19"}, {"retry-after": "ä"}])
def test_headers_within_an_error_that_make_no_sense_say_nothing(headers):
    outcome = read(openai, {"error": {"code": 429, "message": "No.", "metadata": {"headers": headers}}})
    assert (outcome.code, outcome.retry_after_seconds) == ("rate_limited", None)


def test_a_header_says_more_surely_how_long_than_the_json():
    document = {"error": {"code": 429, "retry_after": 19}}
    assert failure_of(answered(document, 429, retry_after="7")).retry_after_seconds == 7
