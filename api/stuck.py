"""Stuck work explained: the reason, the next step of the service, and a person's options. No I/O."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from api.schemas.actions import Action
from api.schemas.queue import StuckWork
from db import queue as db
from runtime.settings import Settings


class Finding(NamedTuple):
    """Why work is stuck, the next step of the service, and the path of an action that helps."""

    reason: str
    detail: str
    next: str
    path: str | None = None


def explain(work: db.StuckWork, live: Sequence[dict[str, Any]], settings: Settings) -> StuckWork:
    """Explain stuck work; `live` are the workers whose heartbeats arrive."""
    found = (
        _overdue(work, live, settings)
        or _unconfigured(work)
        or _paused(work)
        or _lease_expired(work, live, settings)
        or _rescheduled(work, live)
        or _gate_closed(work)
        or _no_heartbeats(live, settings)
        or _all_drained(live)
        or _not_served(work, live)
        or _limit_reached(work)
        or _workers_busy(work, settings)
    )
    return StuckWork.model_validate(
        {
            "tenant": work.tenant,
            "job_id": work.job_id,
            "batch_id": None if work.batch_no is None else str(work.batch_no),
            "provider": work.provider,
            "region": work.region,
            "seconds": max(0.0, work.seconds),
            "reason": found.reason,
            "detail": found.detail,
            "next": found.next,
            "action": found.path and Action(path=found.path),
        }
    )


def _overdue(work: db.StuckWork, live: Sequence[dict[str, Any]], settings: Settings) -> Finding | None:
    if not work.is_overdue:
        return None
    then = f"It ends with the error queue_timeout within {settings.reconcile_seconds:g} s."
    detail = "It didn't begin within its policy.queue_timeout_seconds."
    return Finding("overdue", detail, then if live else f"{then} No worker is alive: start one.")


def _unconfigured(work: db.StuckWork) -> Finding | None:
    if not work.is_unconfigured:
        return None
    asked = f"provider {work.provider} in {work.region}" if work.region else "what it asks or reads"
    return Finding(
        "configuration_changed",
        f"It was accepted under another address or type of {asked} than is configured now for its tenant.",
        "It goes on when that is configured again, or is accepted anew: `breakwater config apply FILE --move-jobs`.",
    )


def _paused(work: db.StuckWork) -> Finding | None:
    held = [("region", work.region)] if work.is_region_paused else []
    held += [("provider", work.provider)] if work.is_provider_paused else []
    if not held:
        return None
    named = " and ".join(f"{kind} {name}" for kind, name in held)
    where = " and ".join(f"GET /{kind}s" for kind, _ in held)
    kind, name = held[0]
    return Finding(
        "paused",
        f"{named[0].upper()}{named[1:]} {'is' if len(held) == 1 else 'are'} paused; see {where} for by whom and why.",
        f"It starts at once when you resume {'it' if len(held) == 1 else 'both'}.",
        f"/{kind}s/{quote(name or '', safe='')}/resume",
    )


def _lease_expired(work: db.StuckWork, live: Sequence[dict[str, Any]], settings: Settings) -> Finding | None:
    if work.finding != "lease_expired":
        return None
    detail = f"The worker that held it stopped renewing its lease ({work.lost_leases} lost in a row before)."
    then = f"It is offered again within {settings.reconcile_seconds:g} s; whoever claims it fences the old holder off."
    path = f"/jobs/{work.job_id}/batches/{work.batch_no}/release"
    return Finding("lease_expired", detail, then if live else f"{then} No worker is alive: start one.", path)


def _rescheduled(work: db.StuckWork, live: Sequence[dict[str, Any]]) -> Finding | None:
    if work.due_at is None:
        return None
    detail = f"Its coordination failed with {work.error_code}: {work.error_detail}"
    then = f"It is tried again at {_shown(work.due_at)}, or at once when you trigger it."
    path = f"/jobs/{work.job_id}/coordinate"
    return Finding("put_off", detail, then if live else f"{then} No worker is alive: start one.", path)


def _gate_closed(work: db.StuckWork) -> Finding | None:
    if work.gate_code is None or work.gate_until is None:
        return None
    detail = f"Provider {work.provider} took no more calls in {work.region} ({work.gate_code})."
    then = f"From {_shown(work.gate_until)} on one call is let through; unless it is refused, all go on."
    return Finding("gate_closed", detail, then)


def _no_heartbeats(live: Sequence[dict[str, Any]], settings: Settings) -> Finding | None:
    if not live:
        return Finding(
            "no_worker",
            f"No worker gave a sign of life within {settings.lease_seconds:g} s.",
            "Start a worker; it takes everything that waits.",
        )
    silent_seconds = min(worker["heartbeat_age_seconds"] for worker in live)
    if silent_seconds <= 2 * settings.heartbeat_seconds:
        return None
    return Finding(
        "workers_silent",
        f"No worker gave a sign of life for {silent_seconds:.0f} s; one is due every {settings.heartbeat_seconds:g} s.",
        f"Look at the workers, or start one: past {settings.lease_seconds:g} s of silence they count as gone.",
    )


def _all_drained(live: Sequence[dict[str, Any]]) -> Finding | None:
    if not all(worker["is_drained"] for worker in live):
        return None
    detail = "Every worker is drained: none takes work until one is resumed."
    then = "It starts at once when you resume a worker, or start another one."
    return Finding("workers_drained", detail, then, f"/queue/workers/{live[0]['id']}/resume")


def _not_served(work: db.StuckWork, live: Sequence[dict[str, Any]]) -> Finding | None:
    """Return the finding if no worker can call the work's provider."""
    name = f"providers.{work.provider}"
    reasons = [missing["reason"] for worker in live for missing in worker["not_served"] if missing["name"] == name]
    if len(reasons) < len(live):
        return None
    return Finding(
        "not_served",
        f"No worker serves provider {work.provider}: {reasons[0]}",
        "It starts when a worker is started that has it.",
    )


def _limit_reached(work: db.StuckWork) -> Finding | None:
    if work.pool_limit is not None and work.pool_calls >= work.pool_limit:
        whose = f"provider {work.provider} in {work.region}"
        calls, limit = work.pool_calls, work.pool_limit
    elif work.job_limit is not None and work.job_calls >= work.job_limit:
        whose, calls, limit = "the job (its policy.max_concurrent)", work.job_calls, work.job_limit
    else:
        return None
    detail = f"{calls} calls of {whose} are in flight, and {limit} may be."
    return Finding("limit_reached", detail, "It is taken by turns, as those calls end.")


def _workers_busy(work: db.StuckWork, settings: Settings) -> Finding:
    return Finding(
        "workers_busy",
        "Every worker has as much in hand as it takes, or hasn't heard of it.",
        f"It is taken by turns once there is room; unheard work is announced every {settings.reconcile_seconds:g} s.",
        f"/jobs/{work.job_id}/coordinate" if work.batch_no is None else None,
    )


def _shown(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
