"""The text of an answer's message, given as text or as a list of parts."""

from typing import Any, NamedTuple

_THOUGHT = frozenset({"thinking", "reasoning", "reasoning_text", "redacted_thinking", "summary_text"})


class Said(NamedTuple):
    """The text of an answer, and the text of a refusal, which some providers return separately."""

    text: str = ""
    refusal: str = ""


def read_content(content: Any) -> Said | None:
    """Return the text of a message's content, empty for null; None if it is neither text nor a list of parts.

    The texts of parts are joined. Thoughts aren't part of the answer; pictures, sounds and calls have no text. The kept
    response has them all.
    """
    match content:
        case None:
            return Said()
        case str():
            return Said(content)
        case {"type": str()}:
            return _joined([content])
        case list():
            return _joined(content)
        case _:
            return None


def _joined(parts: list[Any]) -> Said | None:
    text, refusal = [], []
    for part in parts:
        match part:
            case str():
                text.append(part)
            case {"type": "refusal", "refusal": str(words)}:
                refusal.append(words)
            case {"type": str(kind)} if kind in _THOUGHT:
                pass
            case {"text": str(words)} | {"text": {"value": str(words)}} | {"type": "text", "content": str(words)}:
                text.append(words)
            case {"type": str()}:
                pass
            case _:
                return None
    return Said("".join(text), "".join(refusal))
