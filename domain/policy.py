"""Read `policy` (how a job runs) and `parameters` (sent with its calls), with the bounds of both."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from domain.notes import Action, Findings, Note, Part, cut, nearest, point
from domain.reading import MAX_ITEMS, read_choice, read_integer, read_number, read_object
from domain.spec import Delivery, Incomplete, OnPaused, Policy

MAX_CALL_SECONDS = 86_400
MAX_QUEUE_SECONDS = 30 * 86_400
MIN_SECONDS = 0.001
MAX_ATTEMPTS = 100
MAX_CONCURRENT = 10_000

INTEGER_BOUNDS: Mapping[str, tuple[int, int]] = {
    "max_concurrent": (1, MAX_CONCURRENT),
    "max_attempts": (1, MAX_ATTEMPTS),
}
NUMBER_BOUNDS: Mapping[str, tuple[float, float]] = {
    "timeout_seconds": (MIN_SECONDS, MAX_CALL_SECONDS),
    "queue_timeout_seconds": (MIN_SECONDS, MAX_QUEUE_SECONDS),
    "min_success_rate": (0, 1),
}
CHOICES: Mapping[str, type[StrEnum]] = {"delivery": Delivery, "on_paused": OnPaused, "incomplete": Incomplete}
NULLABLE_POLICY_FIELDS = frozenset({"max_concurrent", "queue_timeout_seconds"})
_DEFAULT = Policy()


def read_policy(parts: Mapping[str, Part], findings: Findings) -> Policy:
    """Return the policy with defaults for absent fields; its keys are known fields.

    null is accepted only where it means "no limit of its own".
    """
    if not parts:
        return _DEFAULT
    members: dict[str, Any] = {}
    for name, part in parts.items():
        if part.value is None and name in NULLABLE_POLICY_FIELDS:
            members[name] = None
        elif (value := _read_member(name, part, findings)) is not None:
            members[name] = value
    return Policy(**members)


def _read_member(name: str, part: Part, findings: Findings) -> int | float | StrEnum | None:
    if name in INTEGER_BOUNDS:
        return read_integer(part, *INTEGER_BOUNDS[name], findings)
    if name in NUMBER_BOUNDS:
        return read_number(part, *NUMBER_BOUNDS[name], findings)
    return read_choice(part, CHOICES[name], findings)


RESERVED_PARAMETERS = frozenset({"model", "messages", "prompt", "stream", "region_preference", "trace_id"})
_INTEGERS = {"max_tokens": (1, 10_000_000), "seed": (-(2**63), 2**63 - 1)}
_NUMBERS = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
}
_KNOWN_PARAMETERS = (*_INTEGERS, *_NUMBERS)
_TYPO_CUTOFF = 0.9
"""Similarity from which an unknown parameter counts as a typo: `max_token` does, `min_tokens` (of vLLM) doesn't."""


def read_parameters(part: Part | None, findings: Findings) -> Mapping[str, Any]:
    """Return the parameters that go to the provider with each call, unchanged.

    Unlike fields of the spec, unknown parameters pass: providers differ (`top_k`, `stop`, `response_format`), and each
    new parameter would need a release. Three things are refused: a known parameter with a wrong type or range, a typo
    in a known name, since the call would be paid for without its effect, and the names that the service itself fills
    in, since they could change the plan. null leaves a known parameter to the provider.
    """
    if part is None:
        return {}
    parameters = read_object(part, findings)
    if len(parameters) > MAX_ITEMS:
        findings.error(part.at, "too_many", f"Give at most {MAX_ITEMS} parameters.", limit=MAX_ITEMS)
        return {}
    for name, value in parameters.items():
        _check_parameter(name, Part(value, point(part.at, name)), findings)
    _note_further_choices(parameters.get("n"), part, findings)
    return parameters


def _note_further_choices(choices: object, part: Part, findings: Findings) -> None:
    """Note that an execution has one `output`, though its call asks and pays for several choices."""
    if isinstance(choices, int) and not isinstance(choices, bool) and choices > 1:
        detail = f"Each call asks for {choices} answers: `output` is the first, an execution's `response` keeps all."
        findings.notes.append(Note(Action.PARTLY_SHOWN, point(part.at, "n"), detail=detail))


def _check_parameter(name: str, part: Part, findings: Findings) -> None:
    if name in RESERVED_PARAMETERS:
        detail = f"`{name}` is filled in by the service from the plan; take it out."
        findings.error(part.at, "reserved_parameter", detail)
    elif part.value is None:
        return
    elif name in _INTEGERS:
        read_integer(part, *_INTEGERS[name], findings)
    elif name in _NUMBERS:
        read_number(part, *_NUMBERS[name], findings)
    elif guess := nearest(name, _KNOWN_PARAMETERS, cutoff=_TYPO_CUTOFF):
        detail = f"Is `{cut(name)}` meant to be `{guess}`? It would have no effect as it stands."
        findings.error(part.at, "unknown_field", detail, nearest=guess)
