"""Assembling an answer that came as events (SSE), though a stream wasn't requested, to the usual JSON."""

from collections.abc import Sequence
from typing import Any

from worker.providers.answers import has_error, value_at
from worker.providers.documents import Document, EndedEarly, parse
from worker.providers.messages import read_content

_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")
_DONE = b"[DONE]"


def is_stream(body: bytes) -> bool:
    """Say whether a body is a stream of events; no JSON text begins like a stream."""
    return body.lstrip().startswith(_STARTS)


def read_stream(body: bytes) -> Document:
    """Return the answer of a body's events; an event's error takes precedence.

    The kept JSON is the list of events. Raises EndedEarly if they stop before the end of the answer, and ValueError if
    an event isn't JSON.
    """
    texts = [line[5:].strip() for line in body.splitlines() if line.startswith(b"data:")]
    is_done = _DONE in texts
    events = [_read_event(text, texts[-1]) for text in texts if text not in (b"", _DONE)]
    failed = next((event for event in events if has_error(event) or has_error(value_at(event, "choices", 0))), None)
    if failed is not None:
        return Document(failed, events)
    document = _joined(events)
    is_cut = value_at(document, "choices") is not None and value_at(document, "choices", 0, "finish_reason") is None
    if not is_done and (is_cut or not events):
        raise EndedEarly("The events end before the answer does.")
    return Document(document, events)


def _read_event(text: bytes, last: bytes) -> Any:
    try:
        return parse(text)
    except ValueError:
        if text is last:
            raise EndedEarly("The last event is cut.") from None
        raise


def _joined(events: Sequence[Any]) -> Any:
    """Return the document of these chunks, or the last event that is a whole answer.

    Some servers repeat in each event the text so far. Like answers without a stream, it uses the first choice; chunks
    of other choices may come in between.
    """
    whole = next((event for event in reversed(events) if value_at(event, "choices", 0, "message") is not None), None)
    if whole is not None:
        return whole
    choices = [choice for event in events for choice in _first_choice(event)]
    if not choices:
        return next(iter(events), {})
    refusals = [piece for choice in choices if isinstance(piece := value_at(choice, "delta", "refusal"), str)]
    message = {"content": "".join(map(_text_of, choices)), "refusal": "".join(refusals)}
    return {
        "model": _last(events, "model"),
        "choices": [{"message": message, "finish_reason": _last(choices, "finish_reason")}],
        "usage": _last(events, "usage"),
        "timings": _last(events, "timings"),
    }


def _first_choice(event: Any) -> list[Any]:
    """Return the first choice in a chunk; most servers send separate chunks for each choice."""
    choices = value_at(event, "choices")
    if not isinstance(choices, list):
        return []
    return [choice for choice in choices if isinstance(choice, dict) and choice.get("index") in (0, None)]


def _text_of(choice: Any) -> str:
    """Return the text that a chunk adds; older servers put it beside the delta."""
    said = (
        read_content(value_at(choice, "delta", "content"))
        if "delta" in choice
        else read_content(value_at(choice, "text"))
    )
    return said.text if said is not None else ""


def _last(members: Sequence[Any], name: str) -> Any:
    return next((value for member in reversed(members) if (value := value_at(member, name))), None)
