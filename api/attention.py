"""What needs a person's attention, from what the API answers, each with the page that has its rows. No I/O."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from api.schemas.activity import Activity, Overview, Processes
from api.schemas.providers import Provider
from api.schemas.queue import StuckReason
from api.schemas.regions import Region
from db.queue import SHOWN_STUCK

QUEUE: Final = "/ui/queue"
STUCK_WORDS: Final[dict[StuckReason, str]] = {
    "overdue": "waited longer than its policy allows",
    "paused": "paused",
    "configuration_changed": "held: the configuration changed",
    "lease_expired": "its worker stopped",
    "put_off": "its source is away",
    "gate_closed": "circuit breaker open",
    "no_worker": "no worker is alive",
    "workers_silent": "workers are silent",
    "workers_drained": "every worker is drained",
    "not_served": "no worker has the provider's key",
    "limit_reached": "limit of calls reached",
    "workers_busy": "workers are busy",
}
"""Why work is stuck, in words."""


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that needs a person, in a sentence, and where its rows are. A fault is worse than the others."""

    text: str
    path: str
    is_fault: bool = False


def of_installation(activity: Activity) -> list[Attention]:
    """Return what needs an operator, faults first."""
    found = [*_of_stores(activity), *_of_processes(activity.processes), *_of_work(activity)]
    return sorted(found, key=lambda each: not each.is_fault)


def of_ended(overview: Overview, status: str, now: datetime) -> str:
    """Return the address of the list of the jobs that the overview counts as ended with this status."""
    since = now - timedelta(hours=overview.ended_within_hours)
    return f"/ui/jobs?status={status}&finished_after={since:%Y-%m-%dT%H:%M:%SZ}"


def of_jobs(overview: Overview, now: datetime) -> list[Attention]:
    """Return what needs a tenant's people."""
    ended = f"within {overview.ended_within_hours} hours"
    counts = (
        (overview.with_unknown, "{} with cells whose end isn't known: a person has to resolve them (JSON)", "unknown"),
        (overview.failed, f"{{}} failed {ended}", "failed"),
        (overview.partial, f"{{}} completed only in part {ended}", "partial"),
    )
    paths = {name: of_ended(overview, name, now) for name in ("failed", "partial")}
    paths["unknown"] = "/executions?status=unknown"
    return [
        Attention(text.format(_many(count, "job", most=overview.counted_to)), paths[name])
        for count, text, name in counts
        if count
    ]


def of_places(regions: Sequence[Region], providers: Sequence[Provider], *, path: str) -> list[Attention]:
    """Return the regions and providers where nothing starts now. Tenants see no reasons in them."""
    paused = [("Region", region.name, region.reason) for region in regions if region.paused]
    paused += [("Provider", provider.name, provider.reason) for provider in providers if provider.paused]
    found = [
        Attention(f"{kind} {name} is paused{f': {reason}' if reason else ''}", f"{path}#{kind.lower()}s")
        for kind, name, reason in paused
    ]
    for provider in providers:
        closed = [(place.region, place.gate) for place in provider.regions if place.gate is not None]
        found += [
            Attention(
                f"Provider {provider.name} takes no calls in {region} ({gate.code})", f"{path}#providers", is_fault=True
            )
            for region, gate in closed
        ]
    return found


def _of_stores(activity: Activity) -> Iterator[Attention]:
    broken = (
        {name: count for name, count in activity.invariants.violations.items() if count} if activity.invariants else {}
    )
    for name, count in broken.items():
        yield Attention(f"Invariant {name} is violated {count:,} times: a bug; keep the rows", "/audit", is_fault=True)
    if activity.broker != "available":
        state = "refuses writes" if activity.broker == "refuses_writes" else "is away"
        yield Attention(f"Redis {state}: work goes on from PostgreSQL, a little later", QUEUE, is_fault=True)
    if activity.simulating:
        yield Attention("Simulating: the built-in echo answers in place of every provider", f"{QUEUE}#providers")


def _of_processes(processes: Processes) -> Iterator[Attention]:
    where = f"{QUEUE}#workers"
    if not processes.workers:
        yield Attention("No worker is alive: start one", where, is_fault=True)
    counts = (
        (processes.silent, "silent: heartbeats are late", True),
        (processes.lost, "lost within the last hour, without having ended", False),
        (processes.behind, "not serving the configuration in force", True),
        (processes.differing, "with a file that says another thing than the configuration in force", False),
        (processes.lacking, "lacking a key or a URL for something that is configured", False),
        (processes.drained, "drained: no more work is taken there until it is resumed", False),
    )
    for count, text, is_fault in counts:
        if count:
            yield Attention(f"{_many(count, 'process', 'processes')} {text}", where, is_fault=is_fault)


def _of_work(activity: Activity) -> Iterator[Attention]:
    if activity.processes.workers and not activity.is_led:
        yield Attention("No worker leads: nobody looks for lost work", QUEUE, is_fault=True)
    for reason, count in activity.stuck.items():
        if reason not in ("paused", "no_worker", "gate_closed"):  # shown as such
            text = f"{_many(count, 'piece', most=SHOWN_STUCK)} of work stuck: {STUCK_WORDS[reason]}"
            yield Attention(text, f"{QUEUE}#stuck", is_fault=True)
    if activity.waiting.leases_expired:
        expired = _many(activity.waiting.leases_expired, "lease")
        yield Attention(f"{expired} ran out and nobody took over yet", f"{QUEUE}#stuck", is_fault=True)
    if activity.dead_letters:
        yield Attention(
            f"{_many(activity.dead_letters, 'dead letter')}: cells that used up their tries", "/ui/queue/dead"
        )


def _many(count: int, one: str, several: str | None = None, *, most: int | None = None) -> str:
    at_least = "+" if count == most else ""
    return f"{count:,}{at_least} {one if count == 1 else several or one + 's'}"
