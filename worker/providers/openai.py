"""The dialect of OpenAI's chat completions, which vLLM, Ollama, llama.cpp and many hosted APIs speak too."""

from typing import Any

from domain.outcome import Completed, Outcome
from worker.providers.answers import Answer, bad_answer, dig, read_json, trouble_in, usage
from worker.providers.protocol import Call

PATH = "/chat/completions"


def body_of(call: Call) -> dict[str, Any]:
    """Return what is posted: the question as the only message."""
    messages = [{"role": "user", "content": call.question}]
    return {**call.given_parameters, "model": call.model_id, "messages": messages}


def outcome_of(answer: Answer) -> Outcome:
    """Return the first choice's text; null is an empty one."""
    document = read_json(answer.body)
    message = dig(document, "choices", 0, "message")
    content = dig(message, "content")
    if not isinstance(message, dict) or not isinstance(content, str | None):
        return bad_answer(f"It has no text in choices[0].message.content: {trouble_in(document).text}")
    return Completed(content or "", usage=_usage(document, answer))


def _usage(document: Any, answer: Answer) -> Any:
    return usage(
        prompt_tokens=dig(document, "usage", "prompt_tokens"),
        completion_tokens=dig(document, "usage", "completion_tokens"),
        seconds=_seconds(document, answer),
        cost=dig(document, "usage", "cost"),
    )


def _seconds(document: Any, answer: Answer) -> float | None:
    """Return how long the provider says it took: hosted APIs in a header, llama.cpp in `timings`."""
    given = answer.headers.get("openai-processing-ms")
    timings = (given,) if given else (dig(document, "timings", "prompt_ms"), dig(document, "timings", "predicted_ms"))
    try:
        return sum(float(milliseconds) for milliseconds in timings) / 1000
    except (TypeError, ValueError):
        return None
