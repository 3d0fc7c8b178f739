"""The text of an answer, however its provider writes it down: as text, or as a list of parts."""

from typing import Any, NamedTuple

_THOUGHT = frozenset({"thinking", "reasoning", "reasoning_text", "redacted_thinking", "summary_text"})


class Said(NamedTuple):
    """What an answer says: its text, and the words of a refusal, which some providers keep apart."""

    text: str = ""
    refusal: str = ""


def said_in(content: Any) -> Said | None:
    """Return what a message's content says; null says nothing. None where it is neither text nor a list of parts.

    The texts of parts follow each other as they are. Thoughts aren't the answer; pictures, sounds and calls have no
    text. All of that stays in the response that is kept.
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
