"""Pauses of regions and providers, with their actors. Claims pass over paused work."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from db.engine import Connection, statement
from db.reading import columns_of
from domain.registry import Registry


class Kind(StrEnum):
    """The kinds of things that can be paused."""

    REGION = "region"
    PROVIDER = "provider"


class Paused(NamedTuple):
    """A region or a provider that can be paused, by its canonical name."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Whether a region or a provider is paused, since when, by whom (`configuration`, or a client) and why."""

    is_paused: bool
    changed_at: datetime
    changed_by: str
    reason: str | None


def configured_pauses(registry: Registry) -> dict[Paused, bool]:
    """Return the configuration's regions and providers, and whether it pauses each."""
    regions = {Paused(Kind.REGION, name): name in registry.paused_regions for name in registry.allowed_regions}
    providers = {Paused(Kind.PROVIDER, name): name in registry.paused_providers for name in registry.serving_providers}
    return {**regions, **providers}


async def enter_pauses(connection: Connection, configured: Mapping[Paused, bool]) -> bool:
    """Enter the configured pauses that are new or changed; return whether any pause changed.

    Safe to repeat and to race: a person's pause or resume stands until the configuration itself changes.
    """
    kinds, names = zip(*configured, strict=True)
    changed = await connection.fetch(statement("enter_pauses"), kinds, names, list(configured.values()))
    return bool(changed)


async def read_pauses(connection: Connection) -> dict[Paused, Pause]:
    """Return every pause, including those of names that aren't configured any more."""
    rows = await connection.fetch(statement("list_pauses"))
    pause = columns_of(Pause)
    return {Paused(Kind(row["kind"]), row["name"]): pause(row) for row in rows}


async def set_pause(connection: Connection, paused: Paused, *, is_paused: bool, who: str, reason: str | None) -> bool:
    """Pause or resume, and record it; return False, without a change or record, if it is in that state already.

    Locks the row of the pause. Runs in the caller's transaction.
    """
    rows = await connection.fetch(statement("set_pause"), paused.kind, paused.name, is_paused, who, reason)
    return bool(rows)
