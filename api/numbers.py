"""Numbers as a request's caller sees them: sealed under an API key, as they are without authentication.

Everything that shows or takes a number that PostgreSQL counts over all tenants does it here, ids and cursors alike.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from domain.sealing import Numbered, Seal, seal_number, unseal_number

_seal: ContextVar[Seal | None] = ContextVar("seal", default=None)
"""Of the request that is served: it concerns what is shown everywhere, and no route has another one."""


def see_under(seal: Seal | None) -> None:
    """Show and take numbers under this seal for the rest of the request; None: as they are."""
    _seal.set(seal)


def are_sealed() -> bool:
    """Return whether numbers are sealed."""
    return _seal.get() is not None


def shown(kind: Numbered, number: int, *, tenant_no: int | None = None) -> int:
    """Return a number as it is shown to the caller, or to the given tenant."""
    seal = _seal.get()
    if seal is None:
        return number
    return seal_number(seal if tenant_no is None else replace(seal, tenant_no=tenant_no), kind, number)


def taken(kind: Numbered, given: int) -> int | None:
    """Return the number that was shown as `given`; None for one that wasn't."""
    seal = _seal.get()
    return given if seal is None else unseal_number(seal, kind, given)


def shown_beside(other: int, kind: Numbered, number: int) -> int:
    """Return a number as it is shown beside another one: whoever sees it twice can't tell that it is the same."""
    seal = _seal.get()
    return number if seal is None else seal_number(seal, kind, number, other)


def taken_beside(other: int, kind: Numbered, given: int) -> int | None:
    """Return the number that was shown as `given` beside another one; None for one that wasn't."""
    seal = _seal.get()
    return given if seal is None else unseal_number(seal, kind, given, other)


def shown_execution_id(execution_id: str, *, tenant_no: int | None = None) -> str:
    """Return an execution's id as the caller or the given tenant sees it; it begins with its job's number."""
    job_no, _, rest = execution_id.partition("-")
    return f"{shown(Numbered.JOB, int(job_no), tenant_no=tenant_no)}-{rest}"


def shown_data(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an event's data with the ids in it as they are shown."""
    if not are_sealed():
        return data
    return {name: _shown_member(name, value) for name, value in data.items()}


def _shown_member(name: str, value: Any) -> Any:
    match name, value:
        case "execution_id", str():
            return shown_execution_id(value)
        case "dead_letter_id", int():
            return shown(Numbered.DEAD_LETTER, value)
        case "filter", dict():
            return shown_data(value)
        case _:
            return value
