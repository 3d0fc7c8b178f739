"""How states are shown: each has a sign of its own beside its colour, and words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.text import Text


@dataclass(frozen=True, slots=True)
class State:
    """A state of a cell: `letter` as the grid has it, `member` of a job's progress; `plain` where there is no UTF-8."""

    letter: str
    member: str
    word: str
    sign: str
    plain: str
    style: str


STATES = (
    State("c", "completed", "completed", "✓", "+", "green"),
    State("i", "incomplete", "incomplete", "~", "~", "yellow"),
    State("f", "failed", "failed", "✗", "x", "bold red"),
    State("u", "unknown", "unknown", "?", "?", "bold magenta"),
    State("x", "cancelled", "cancelled", "–", "-", "dim"),
    State("r", "running", "running", "▸", ">", "cyan"),
    State("p", "pending", "planned", "·", ".", "dim"),
)
STATE_BY_LETTER = {state.letter: state for state in STATES}
TENTHS = 10
"""The characters for the cells of a model and a region where there isn't a character for each."""


def count(job: Mapping[str, Any]) -> dict[str, int]:
    """Return a job's cells, or batches, by letter; incomplete ones aren't among the completed."""
    numbers = {state.letter: int(job["progress"].get(state.member, 0)) for state in STATES}
    numbers["i"] = min(job["incomplete"], numbers["c"])
    numbers["c"] -= numbers["i"]
    return numbers


def done(numbers: Mapping[str, int]) -> int:
    """Return how many have ended."""
    return sum(number for letter, number in numbers.items() if letter not in ("r", "p"))


def each(states: str, *, is_plain: bool) -> Text:
    """Return a sign for each cell."""
    text = Text(no_wrap=True)
    for letter in states:
        state = STATE_BY_LETTER.get(letter, STATES[-1])
        text.append(_sign(state, is_plain=is_plain), style=state.style)
    return text


def letters(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the counts of a row of the grid by letter."""
    return {state.letter: counts.get(state.member, 0) for state in STATES}


def tenths(numbers: Mapping[str, int], *, is_plain: bool) -> Text:
    """Return ten signs for so many cells by letter, each for a tenth; a state of any cell shows at least once."""
    text = Text(no_wrap=True)
    for letter, signs in share(numbers).items():
        state = STATE_BY_LETTER.get(letter, STATES[-1])
        text.append(_sign(state, is_plain=is_plain) * signs, style=state.style)
    return text


def share(numbers: Mapping[str, int]) -> dict[str, int]:
    """Share TENTHS signs out by the numbers, in the order of STATES: one for each state at least, then by size."""
    present = [state.letter for state in STATES if numbers.get(state.letter)]
    total = sum(numbers[letter] for letter in present)
    signs = dict.fromkeys(present, 1)
    for _ in range(TENTHS - len(present) if present else 0):
        behind = max(present, key=lambda letter: numbers[letter] / total - signs[letter] / TENTHS)
        signs[behind] += 1
    return signs


def _sign(state: State, *, is_plain: bool) -> str:
    return state.plain if is_plain else state.sign


def legend(numbers: Mapping[str, int], *, is_plain: bool) -> Text:
    """Return the signs with their words and numbers; those of no cell are left out."""
    text = Text()
    for state in STATES:
        if number := numbers[state.letter]:
            text.append("   " if text else "")
            text.append(f"{_sign(state, is_plain=is_plain)} {number:,} {state.word}", style=state.style)
    return text
