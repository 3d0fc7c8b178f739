"""The dialect of a hybrid router: one `/inference` that picks a provider of its own, and says which."""

import re
from http import HTTPStatus
from typing import Any

from domain.outcome import Completed, Failed, Outcome
from worker.providers.answers import Answer, Trouble, bad_answer, dig, label, read_json, trouble_in, usage
from worker.providers.protocol import Call
from worker.providers.refusals import failed, retry_after_seconds

PATH = "/inference"

_STATUS_CODE = re.compile(r"(?:http_?)?([45][0-9]{2})")
_RATE_LIMIT = re.compile(r"rate_?limit|too_many_requests|quota|throttl")
_CLIENT_FAULTS = frozenset(
    {
        "authentication_error",
        "bad_request",
        "content_filter",
        "content_policy_violation",
        "context_length_exceeded",
        "forbidden",
        "invalid_api_key",
        "invalid_model",
        "invalid_parameter",
        "invalid_parameters",
        "invalid_prompt",
        "invalid_request",
        "invalid_request_error",
        "model_not_found",
        "permission_denied",
        "prompt_too_long",
        "unauthorized",
        "unknown_model",
        "unsupported_model",
        "validation_error",
    }
)
"""Codes after which the same call can only fail again; whatever else goes wrong behind a router may pass."""


def body_of(call: Call) -> dict[str, Any]:
    """Return what is posted: the question as the prompt, and the only region that is wanted."""
    return {
        **call.given_parameters,
        "model": call.model_id,
        "prompt": call.question,
        "region_preference": call.region,
        "trace_id": call.trace_id,
    }


def outcome_of(answer: Answer) -> Outcome:
    """Return the response's text, null as an empty one, or how the router says it failed."""
    document = read_json(answer.body)
    success, response = dig(document, "success"), dig(document, "response")
    provider_used = label(dig(document, "provider_used"))
    if success is False:
        return _failed(trouble_in(document), answer)
    if success is not True or not isinstance(response, str | None):
        return bad_answer(f"It has no success and response: {trouble_in(document).text}", provider_used=provider_used)
    return Completed(
        response or "",
        region_served=label(dig(document, "metadata", "region")),
        usage=_usage(document),
        provider_used=provider_used,
    )


def _failed(trouble: Trouble, answer: Answer) -> Failed:
    return failed(_status_of(trouble), trouble, "success: false", retry_after=retry_after_seconds(answer))


def _status_of(trouble: Trouble) -> int:
    """Return the status of HTTP that says the same; the words count where no code does, as in "HTTP 429: …"."""
    for code in trouble.codes:
        plain = re.sub(r"[^a-z0-9]+", "_", code.lower())
        if status := _STATUS_CODE.fullmatch(plain):
            return int(status[1])
        if plain in _CLIENT_FAULTS:
            return HTTPStatus.BAD_REQUEST
        if _RATE_LIMIT.search(plain):
            return HTTPStatus.TOO_MANY_REQUESTS
    says_so = re.search(r"\b429\b", trouble.text)
    return HTTPStatus.TOO_MANY_REQUESTS if says_so else HTTPStatus.INTERNAL_SERVER_ERROR


def _usage(document: Any) -> Any:
    return usage(
        prompt_tokens=dig(document, "metadata", "usage", "prompt_tokens"),
        completion_tokens=dig(document, "metadata", "usage", "completion_tokens"),
        seconds=dig(document, "inference_time"),
        cost=dig(document, "cost_estimate"),
    )
