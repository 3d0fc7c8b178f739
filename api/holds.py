"""Holds: pauses and circuit breakers that keep all work of a job from starting. No I/O."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from api.schemas.actions import Action
from api.schemas.jobs import Held
from db.holds import PoolHold
from domain.registry import Registry
from submissions.job_links import json_time


def named_pools(spec: Any, registry: Registry) -> list[tuple[str, str]]:
    """Return the (serving provider, region) pairs that a stored inference spec asks for; none once it is purged."""
    models = spec["models"] if spec else []
    pools = {(registry.serving(model["provider"]), region) for model in models for region in model["regions"]}
    return sorted(pools)


def held_by(pools: Sequence[PoolHold], queued_at: datetime) -> Held | None:
    """Return the hold of a job whose open work is in these pools; None if any of it may start.

    Of several reasons it names the one that lasts longest: a pause stays until a person resumes.
    """
    holds = [_hold(pool) for pool in pools]
    found = [hold for hold in holds if hold is not None]
    if not found or len(found) < len(holds):
        return None
    since = max(queued_at, *(since for since, *_ in found))
    _, reason, detail, path = min(found, key=lambda hold: _ORDER.index(hold[1]))
    held = Held(reason=reason, since=since, detail=detail, action=Action(path=path) if path else None)
    if path is None:
        return held
    what = reason.removesuffix("_paused")
    return held.with_words_for_tenants(
        f"Its {what} is paused. It goes on once somebody with the scope `operate` resumes it."
    )


_ORDER = ("region_paused", "provider_paused", "gate_closed")


def _hold(pool: PoolHold) -> tuple[datetime, Any, str, str | None] | None:
    """Return since when a pool is held, the reason, how it ends, and the path that ends it; None if it isn't held."""
    times = [at for at in (pool.region_paused_at, pool.provider_paused_at, pool.gate_closed_at) if at is not None]
    if pool.region_paused_at is not None:
        path = _resume("region", pool.region)
        detail = _paused("region", pool.region, pool.region_paused_by, pool.region_reason)
        return min(times), "region_paused", f"{detail} It goes on after POST {path}.", path
    if pool.provider_paused_at is not None:
        path = _resume("provider", pool.provider)
        detail = _paused("provider", pool.provider, pool.provider_paused_by, pool.provider_reason)
        return min(times), "provider_paused", f"{detail} It goes on after POST {path}.", path
    if pool.gate_until is None or pool.gate_closed_at is None:
        return None
    detail = (
        f"Provider {pool.provider} takes no calls in {pool.region} ({pool.gate_code}); at {json_time(pool.gate_until)}"
        " one is tried."
    )
    return pool.gate_closed_at, "gate_closed", detail, None


def _paused(kind: str, name: str, by: str | None, reason: str | None) -> str:
    because = f": {reason}" if reason else ""
    return f"{kind.capitalize()} {name} was paused by {by}{because}."


def _resume(kind: str, name: str) -> str:
    return f"/{kind}s/{quote(name, safe='')}/resume"
