"""Providers as they are shown, with their limits and calls in each region."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from api.paging import Listed
from api.schemas.pauses import Pausable, pause_members
from db.pauses import Pause
from db.provider_pools import PoolRead
from runtime.config_file import ProviderSettings, ProviderType


class Gate(BaseModel):
    """Why a provider is asked for nothing in a region: it said that it had enough."""

    code: str
    detail: str | None = Field(description="The provider's words; null without the scope `operate`.")
    until: datetime = Field(description="Then one call is let through; unless it is refused again, the gate opens.")
    times: int = Field(description="How often in a row it was refused.")

    @classmethod
    def of(cls, pool: PoolRead | None) -> Self | None:
        """Return the pool's gate; None if it is open."""
        if pool is None or pool.gate_code is None or pool.gate_until is None:
            return None
        return cls(code=pool.gate_code, detail=pool.gate_detail, until=pool.gate_until, times=pool.gate_times or 0)


class ProviderRegion(BaseModel):
    """A provider in a region."""

    region: str
    max_concurrent: int | None = Field(
        description="Calls it may be asked at once, over all workers; null: only the workers bound it."
    )
    in_flight: int | None = Field(
        description="Calls that workers may have in flight now, for all tenants; 0 of one that answers instantly; null"
        " without the scope `operate`."
    )
    gate: Gate | None = Field(description="Null while it is open.")

    @classmethod
    def of(cls, region: str, pool: PoolRead | None) -> Self:
        """Return the provider's region as it is shown."""
        return cls(
            region=region,
            max_concurrent=pool.max_concurrent if pool else None,
            in_flight=pool.in_flight if pool else 0,
            gate=Gate.of(pool),
        )

    def for_tenants(self) -> Self:
        """Return it without what only the scope `operate` shows."""
        gate = self.gate and self.gate.model_copy(update={"detail": None})
        return self.model_copy(update={"in_flight": None, "gate": gate})


class Provider(Pausable):
    """Whoever answers for the models that name it; `echo` answers for every name while none is configured."""

    type: ProviderType
    regions: list[ProviderRegion]

    @classmethod
    def of(
        cls,
        name: str,
        configured: ProviderSettings,
        pause: Pause,
        regions: Sequence[str],
        pools: Mapping[tuple[str, str], PoolRead],
    ) -> Self:
        """Return the provider as it is shown, in these regions."""
        shown = [ProviderRegion.of(region, pools.get((name, region))) for region in regions]
        return cls(**pause_members(name, pause, configured.tenants), type=configured.type, regions=shown)

    def for_tenants(self) -> Self:
        """Return it without what only the scope `operate` shows."""
        regions = [region.for_tenants() for region in self.regions]
        return super().for_tenants().model_copy(update={"regions": regions})


class ProviderList(Listed[Provider]):
    """Providers by name."""
