"""The dialect of a hybrid router: its `/inference` picks a provider and names it."""

from dataclasses import replace
from typing import Any

from domain.completeness import Ending, ending_of
from domain.outcome import Completed, Outcome, Reply
from worker.providers.answers import (
    Answer,
    ErrorReport,
    bad_answer,
    error_in,
    has_error,
    label,
    token_counts,
    usage,
    value_at,
)
from worker.providers.messages import read_content
from worker.providers.protocol import Call
from worker.providers.refusals import failure_within

PATH = "/inference"


def body_of(call: Call) -> dict[str, Any]:
    """Return the body: the question as the prompt, and the only allowed region."""
    return {
        **call.given_parameters,
        "model": call.model_id,
        "prompt": call.question,
        "region_preference": call.region,
        "trace_id": call.trace_id,
    }


def outcome_of(document: Any, answer: Answer) -> Outcome:
    """Return the response's text, null as an empty text, or the failure that the router reports."""
    success, provider_used = value_at(document, "success"), label(value_at(document, "provider_used"))
    is_refused = value_at(document, "response") is None and value_at(document, "detail")
    if success is False or has_error(document) or is_refused:
        return failure_within(answer, error_in(document))
    said = read_content(value_at(document, "response"))
    reply = _reply(document)
    if success is not True or said is None:
        detail = f"It has no success and response: {error_in(document).text}"
        return bad_answer(detail, provider_used=provider_used, reply=reply)
    if reply.ending is Ending.BROKEN:
        error = ErrorReport((reply.finish_reason or "",), "The router broke the answer off.", provider_used)
        return failure_within(answer, error, reply=replace(reply, ending=None))
    return Completed(
        said.text or said.refusal,
        region_served=label(value_at(document, "metadata", "region")),
        provider_used=provider_used,
        reply=replace(reply, ending=Ending.REFUSED) if said.refusal else reply,
    )


def _reply(document: Any) -> Reply:
    """Return the router's facts about the answer, beside the response or in its metadata."""
    finish_reason = _first_label(document, "finish_reason", "stop_reason", "done_reason")
    return Reply(
        finish_reason, ending_of(finish_reason), _first_label(document, "model_used", "model"), _usage(document)
    )


def _first_label(document: Any, *names: str) -> str | None:
    metadata = value_at(document, "metadata")
    found = (label(value_at(place, name)) for place in (document, metadata) for name in names)
    return next((text for text in found if text), None)


def _usage(document: Any) -> Any:
    return usage(
        **token_counts(value_at(document, "metadata", "usage") or value_at(document, "usage")),
        seconds=value_at(document, "inference_time"),
        cost=value_at(document, "cost_estimate"),
    )
