"""The dialect of OpenAI's chat completions, also of vLLM, Ollama, llama.cpp and many hosted APIs."""

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

PATH = "/chat/completions"


def body_of(call: Call) -> dict[str, Any]:
    """Return the body: the question as the only message."""
    messages = [{"role": "user", "content": call.question}]
    return {**call.given_parameters, "model": call.model_id, "messages": messages}


def outcome_of(document: Any, answer: Answer) -> Outcome:
    """Return the first choice's text, null as an empty text; or the failure that the answer or the choice reports.

    An answer without a choice is a failure, with its own message as the reason. If there is only a refusal, its text is
    the output.
    """
    if has_error(document):
        return failure_within(answer, error_in(document))
    if isinstance(document, dict) and not document.get("choices"):
        return failure_within(answer, error_in(document), said="without a choice")
    choice = value_at(document, "choices", 0)
    finish_reason = label(value_at(choice, "finish_reason"))
    ending = ending_of(finish_reason)
    reply = Reply(finish_reason, None, label(value_at(document, "model")), _usage(document, answer))
    if has_error(choice) or ending is Ending.BROKEN:
        return failure_within(answer, _error_of(choice, finish_reason), reply=reply)
    return _said(document, choice, ending, reply)


def _said(document: Any, choice: Any, ending: Ending | None, reply: Reply) -> Outcome:
    message = value_at(choice, "message")
    said = read_content(value_at(message, "content") if message is not None else value_at(choice, "text"))
    is_said = isinstance(message, dict) or (
        message is None and (value_at(choice, "text") is not None or ending is not None)
    )
    if said is None or not is_said:
        shown = error_in(document).text
        return bad_answer(f"It has no text in choices[0].message.content: {shown}", reply=reply)
    refusal = value_at(message, "refusal")
    refused = refusal if isinstance(refusal, str) and refusal else said.refusal
    return Completed(said.text or refused, reply=replace(reply, ending=Ending.REFUSED if refused else ending))


def _error_of(choice: Any, finish_reason: str | None) -> ErrorReport:
    if has_error(choice):
        return error_in(choice)
    return ErrorReport((finish_reason or "",), "The provider broke the answer off.")


def _usage(document: Any, answer: Answer) -> Any:
    given = value_at(document, "usage")
    return usage(
        **token_counts(given),
        seconds=_seconds(document, answer),
        cost=value_at(given, "cost"),
    )


def _seconds(document: Any, answer: Answer) -> float | None:
    """Return the provider's own processing time: of hosted APIs in a header, of llama.cpp in `timings`."""
    given = answer.headers.get("openai-processing-ms")
    timings = (
        (given,)
        if given
        else (value_at(document, "timings", "prompt_ms"), value_at(document, "timings", "predicted_ms"))
    )
    try:
        return sum(float(milliseconds) for milliseconds in timings) / 1000
    except (TypeError, ValueError):
        return None
