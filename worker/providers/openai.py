"""The dialect of OpenAI's chat completions, also of vLLM, Ollama, llama.cpp and many hosted APIs."""

from dataclasses import replace
from typing import Any

from domain.completeness import Ending, ending_of
from domain.outcome import Completed, Outcome, Reply
from worker.providers.answers import (
    Answer,
    ErrorReport,
    bad_answer,
    dig,
    error_in,
    has_error,
    label,
    token_counts,
    usage,
)
from worker.providers.messages import said_in
from worker.providers.protocol import Call
from worker.providers.refusals import failed_within

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
        return failed_within(answer, error_in(document))
    if isinstance(document, dict) and not document.get("choices"):
        return failed_within(answer, error_in(document), said="without a choice")
    choice = dig(document, "choices", 0)
    finish_reason = label(dig(choice, "finish_reason"))
    ending = ending_of(finish_reason)
    reply = Reply(finish_reason, None, label(dig(document, "model")), _usage(document, answer))
    if has_error(choice) or ending is Ending.BROKEN:
        return failed_within(answer, _error_of(choice, finish_reason), reply=reply)
    return _said(document, choice, ending, reply)


def _said(document: Any, choice: Any, ending: Ending | None, reply: Reply) -> Outcome:
    message = dig(choice, "message")
    said = said_in(dig(message, "content") if message is not None else dig(choice, "text"))
    is_said = isinstance(message, dict) or (message is None and (dig(choice, "text") is not None or ending is not None))
    if said is None or not is_said:
        shown = error_in(document).text
        return bad_answer(f"It has no text in choices[0].message.content: {shown}", reply=reply)
    refusal = dig(message, "refusal")
    refused = refusal if isinstance(refusal, str) and refusal else said.refusal
    return Completed(said.text or refused, reply=replace(reply, ending=Ending.REFUSED if refused else ending))


def _error_of(choice: Any, finish_reason: str | None) -> ErrorReport:
    if has_error(choice):
        return error_in(choice)
    return ErrorReport((finish_reason or "",), "The provider broke the answer off.")


def _usage(document: Any, answer: Answer) -> Any:
    given = dig(document, "usage")
    return usage(
        **token_counts(given),
        seconds=_seconds(document, answer),
        cost=dig(given, "cost"),
    )


def _seconds(document: Any, answer: Answer) -> float | None:
    """Return the provider's own processing time: of hosted APIs in a header, of llama.cpp in `timings`."""
    given = answer.headers.get("openai-processing-ms")
    timings = (given,) if given else (dig(document, "timings", "prompt_ms"), dig(document, "timings", "predicted_ms"))
    try:
        return sum(float(milliseconds) for milliseconds in timings) / 1000
    except (TypeError, ValueError):
        return None
