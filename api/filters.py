"""The filters of lists: their valid values, and the aliases of regions."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from domain.errors import FieldError, ParameterError, ParametersRejected
from domain.notes import cut
from domain.registry import Registry, fold

MAX_NAME = 500
METADATA = "metadata."
_FIRST_YEAR, _LAST_YEAR = 1970, 9998
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d\d:\d\d)?)?)(?: (\d\d:\d\d))?", re.ASCII
)


def refuse_nul(text: str) -> str:
    """Return the text; refuse one that PostgreSQL can't hold."""
    if "\0" in text:
        raise PydanticCustomError("nul", "A NUL character can't be part of a name")
    return text


def _in_utc(moment: datetime) -> datetime:
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise PydanticCustomError("year", "Give a year from 1970 to 9998")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _rfc3339(text: Any) -> Any:
    """Refuse numbers, which would be read as seconds; restore the plus of an offset, which was decoded to a space."""
    if not isinstance(text, str):
        return text
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise PydanticCustomError("moment", "Give a moment such as 2026-01-31T12:00:00Z")
    return f"{match[1]}+{match[2]}" if match[2] else text


NameFilter = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME), AfterValidator(refuse_nul)]
Moment = Annotated[
    datetime,
    BeforeValidator(_rfc3339),
    Field(description="RFC 3339, such as 2026-01-31T12:00:00Z; without an offset it is UTC."),
    AfterValidator(_in_utc),
]


def any_of(states: type[StrEnum]) -> Any:
    """Return the type of a parameter that takes one of the states or several, separated by commas."""
    state = "|".join(states)
    return Annotated[str, StringConstraints(pattern=f"^({state})(,({state}))*$")]


def metadata_filter(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the wanted values of metadata by key, from the parameters `metadata.KEY`. Raises ParametersRejected."""
    errors: list[ParameterError] = []
    found: dict[str, str] = {}
    for name, value in given.items():
        key = name.removeprefix(METADATA)
        if not name.startswith(METADATA) or not key:
            errors.append(ParameterError(cut(name), "unknown_parameter", f"There is no parameter `{cut(name)}` here."))
        elif max(len(key), len(value)) > MAX_NAME or "\0" in name + value:
            detail = f"Give a key and a value of at most {MAX_NAME} characters, without NUL."
            errors.append(ParameterError(cut(name), "invalid_parameter", detail))
        else:
            found[key] = value
    if errors:
        raise ParametersRejected(errors)
    return found


def canonical_region(spelling: str | None, registry: Registry, *, pointer: str | None = None) -> str | None:
    """Return the region's canonical name; raise ParametersRejected if no region has that name.

    It was given as the parameter `region`, or at `pointer` in the body.
    """
    if spelling is None:
        return None
    region = registry.region_by_spelling.get(fold(spelling))
    if region is None:
        allowed = [cut(name) for name in registry.allowed_regions]
        detail = f"There is no such region; give one of {', '.join(allowed)}."
        reason = ("unknown_region", detail, {"allowed": allowed})
        at_fault = FieldError(pointer, *reason) if pointer is not None else ParameterError("region", *reason)
        raise ParametersRejected([at_fault])
    return region.name
