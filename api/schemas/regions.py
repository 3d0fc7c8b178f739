"""Regions as they are shown."""

from collections.abc import Sequence
from typing import Self

from pydantic import Field

from api.paging import Listed
from api.schemas.pauses import Pausable, pause_members
from db.pauses import Pause
from domain.registry import Region as KnownRegion


class Region(Pausable):
    """A region that specs may name."""

    aliases: list[str] = Field(description="Other spellings that specs may use; case doesn't count.")

    @classmethod
    def of(cls, region: KnownRegion, pause: Pause, tenants: Sequence[str] | None) -> Self:
        """Return the region as it is shown."""
        return cls(**pause_members(region.name, pause, tenants), aliases=list(region.aliases))


class RegionList(Listed[Region]):
    """Regions, as they are configured."""
