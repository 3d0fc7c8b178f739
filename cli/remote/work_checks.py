"""What `doctor` asks about the work: workers, what is paused or stuck, dead letters, unknown ends, and the audit."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from cli.remote.findings import Finding, failing, ok, warning
from cli.remote.service import Service

Check: TypeAlias = Callable[[Service], AsyncIterator[Finding]]
MOST_SHOWN = 5
MOST_COUNTED = 200
LEADERLESS_SECONDS = 90.0
BEHIND_SECONDS = 20.0
MOVES_ON = {"paused", "put_off", "gate_closed", "limit_reached", "workers_busy"}
"""Reasons why work is stuck that a person knows of, or that end by themselves."""


async def check_workers(service: Service) -> AsyncIterator[Finding]:
    """Yield whether workers are alive, of one release and configuration, and led; and which work is stuck."""
    queue = await service.get("/queue")
    processes = [*queue["apis"], *queue["workers"]]
    for finding in (*_alive(queue), *_lost(queue.get("lost", ()))):  # a release before this one lists no lost ones
        yield finding
    yield _releases(processes)
    for finding in _configurations(processes):
        yield finding
    if (leader := queue["leader"]) and not leader["is_leading"] and leader["idle_seconds"] > LEADERLESS_SECONDS:
        idle = f"no worker has looked for lost work for {leader['idle_seconds']:.0f} s"
        yield failing("leader", idle, "Look at the workers' logs for `leader_missing`; restart them.")
    if queue["events"]["behind_seconds"] > BEHIND_SECONDS:
        held = f"events can't be read for {queue['events']['behind_seconds']:.0f} s"
        yield warning("events", f"{held}: {queue['events']['held_back_by']}", "End that transaction.")
    for finding in _stuck(queue["stuck"]):
        yield finding


async def check_providers(service: Service) -> AsyncIterator[Finding]:
    """Yield what is paused, which circuit breakers are open, and whether anything is simulated."""
    providers = await service.items("/providers", (), limit=MOST_COUNTED)
    regions = await service.items("/regions", (), limit=MOST_COUNTED)
    found = [*_paused("provider", providers), *_paused("region", regions), *_gates(providers)]
    simulated = [provider["name"] for provider in providers if provider["type"] == "echo"]
    if simulated:
        detail = f"the built-in echo answers as {', '.join(simulated)}: no model is asked"
        found.append(warning("simulation", detail, "For real answers: breakwater config apply FILE."))
    if not found:
        found = [ok("providers", f"{len(providers)} providers and {len(regions)} regions; none is paused")]
    for finding in found:
        yield finding


async def check_dead_letters(service: Service) -> AsyncIterator[Finding]:
    """Yield how many dead letters there are."""
    letters = await service.items("/queue/dead", (), limit=MOST_COUNTED)
    if not letters:
        yield ok("dead letters", "none")
        return
    codes = ", ".join(sorted({letter["error"]["code"] for letter in letters}))
    detail = f"{_number(letters)} cells used up their tries: {codes}"
    yield warning("dead letters", detail, "breakwater dead list shows them, breakwater dead replay ID tries again.")


async def check_unknown(service: Service) -> AsyncIterator[Finding]:
    """Yield how many executions ended in a way that nobody knows."""
    cells = await service.items("/executions", [("status", "unknown")], limit=MOST_COUNTED)
    if not cells:
        yield ok("unknown ends", "none")
        return
    jobs = ", ".join(sorted({cell["job_id"] for cell in cells})[:MOST_SHOWN])
    do = "Ask the provider, then POST /executions/{id}/resolve (docs/how-to/control-jobs.md)."
    yield warning("unknown ends", f"{_number(cells)} executions, of jobs {jobs}", do)


async def check_audit(service: Service) -> AsyncIterator[Finding]:
    """Yield whether the promises hold for the jobs of the last day."""
    totals = (await service.get("/audit", [("limit", "1")]))["totals"]
    part = "" if totals["complete"] else ", the newest ones"
    counted = f"{totals['checked']} jobs of the last 24 h{part}"
    if totals["holds"]:
        yield ok("audit", f"holds for {counted}: {totals['planned']} cells planned, {totals['duplicates']} twice")
        return
    broken = ", ".join(totals["violations"])
    yield failing("audit", f"{counted}: broken: {broken}", "That is a bug: GET /audit names the jobs; report it.")


CHECKS: Sequence[tuple[str, Check]] = (
    ("workers", check_workers),
    ("providers", check_providers),
    ("dead letters", check_dead_letters),
    ("unknown ends", check_unknown),
    ("audit", check_audit),
)
"""Each with what is said of it where the key may not ask."""


def _alive(queue: Mapping[str, Any]) -> Iterator[Finding]:
    workers = queue["workers"]
    drained = [worker for worker in workers if worker.get("is_drained")]
    if not workers:
        yield failing("workers", "no worker is alive: accepted jobs wait", "Start one: breakwater worker.")
    else:
        running = sum(worker["running"] for worker in workers)
        yield ok("workers", f"{len(workers)} alive, {running} cells in hand, {queue['jobs_queued']} jobs queued")
    if drained:
        level = failing if len(drained) == len(workers) else warning
        detail = f"{len(drained)} of {len(workers)} workers are drained and take no work: {_ids(drained)}"
        yield level("workers", detail, f"To go on: POST /queue/workers/{drained[0]['id']}/resume.")


def _lost(processes: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    if processes:
        detail = f"{len(processes)} processes fell silent within the last hour: {_ids(processes)}"
        yield warning("lost", detail, "Look why they ended (docs/how-to/recover.md); their work goes to others.")


def _releases(processes: Sequence[Mapping[str, Any]]) -> Finding:
    releases = sorted({process["version"] or "unknown" for process in processes})
    if len(releases) > 1:
        detail = f"processes are of releases {', '.join(releases)}"
        return warning("releases", detail, "Finish the upgrade (docs/how-to/upgrade.md).")
    return ok("releases", f"all {len(processes)} processes are of release {', '.join(releases) or 'none'}")


def _configurations(processes: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    late = [process for process in processes if not process["configuration"]["is_current"]]
    numbers = sorted({str(process["configuration"]["number"]) for process in processes})
    if late:
        detail = f"{_ids(late)} serve another configuration than the one in force"
        yield warning("configuration", detail, "A process follows within seconds; else look at its log.")
    else:
        yield ok("configuration", f"all processes serve configuration {', '.join(numbers)}")
    if differing := [process for process in processes if process["configuration"]["file"] == "differs"]:
        detail = f"the file that {_ids(differing)} were given differs from the configuration in force"
        yield warning("configuration", detail, "breakwater config diff FILE shows how; apply it, or correct it.")
    lacks = {
        f"{missing['name']}: {missing['reason']}"
        for process in processes
        for missing in process["configuration"]["not_served"]
    }
    for lack in sorted(lacks)[:MOST_SHOWN]:
        yield warning("configuration", f"not every process serves {lack}", "Set it for those processes.")


def _stuck(stuck: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    if not stuck:
        yield ok("stuck work", "none")
    for work in stuck[:MOST_SHOWN]:
        place = f" batch {work['batch_id']}" if work["batch_id"] else ""
        about = f"job {work['job_id']}{place}, for {work['seconds']:.0f} s: {work['detail']}"
        level = warning if work["reason"] in MOVES_ON else failing
        yield level("stuck work", about, work["next"])
    if len(stuck) > MOST_SHOWN:
        yield warning("stuck work", f"and {_number(stuck[MOST_SHOWN:])} more", "GET /queue lists them.")


def _paused(kind: str, found: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for each in found:
        if each["paused"]:
            why = f" ({each['reason']})" if each["reason"] else ""
            do = f"When it may go on: POST /{kind}s/{each['name']}/resume."
            yield warning("pauses", f"{kind} {each['name']} is paused since {each['changed_at'][:19]} UTC{why}", do)


def _gates(providers: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for provider in providers:
        for region in provider["regions"]:
            if gate := region["gate"]:
                told = gate["detail"] or gate["code"]
                detail = f"{provider['name']} in {region['region']} is asked for nothing until {gate['until'][:19]} UTC"
                yield warning("gates", f"{detail}: {told}", "It is tried again by itself; look at the provider.")


def _ids(processes: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(process["id"] for process in processes[:MOST_SHOWN])


def _number(found: Sequence[object]) -> str:
    return f"more than {MOST_COUNTED}" if len(found) > MOST_COUNTED else str(len(found))
