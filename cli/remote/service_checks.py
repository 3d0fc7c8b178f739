"""What `doctor` asks of the service itself: its address, its clock, its stores, the caller's key."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from importlib.metadata import version

from cli.remote.address import KEY_VARIABLE, Address
from cli.remote.errors import NotReached, Refused
from cli.remote.findings import Finding, failing, ok, warning
from cli.remote.service import Answer, Service

CLOCK_SECONDS = 5.0
"""A difference that a slow answer and the whole seconds of `Date` don't explain."""
NEARLY = 0.9
"""The share of a limit from which on it is nearly used up."""


async def check_reached(service: Service) -> AsyncIterator[Finding]:
    """Yield whether the service answers and how; raises NotReached where nothing does."""
    began = time.monotonic()
    alive = await service.ask("/livez")
    took = time.monotonic() - began
    yield ok("service", f"{service.address.url} answers, in {1000 * took:.0f} ms")
    if (finding := _encryption(service.address)) is not None:
        yield finding
    yield _clock(alive, took)


async def check_stores(service: Service) -> AsyncIterator[Finding]:
    """Yield whether the service's stores serve it, and the releases of everything."""
    try:
        health = await service.get("/healthz")
    except NotReached as error:
        detail = (error.problem or {}).get("detail") or str(error)
        yield failing("ready", str(detail), "Look at the API's log, and at docs/how-to/recover.md.")
        return
    broker = health["broker"]
    if health["status"] == "ready":
        yield ok("ready", "PostgreSQL and Redis serve")
    else:
        told = broker["detail"] or f"Redis is {broker['status']} ({broker['code']})"
        yield warning("ready", f"degraded: {told}", "Jobs are accepted and run, only later; mend Redis.")
    versions, own = health["versions"], version("breakwater")
    if (release := versions["breakwater"]) is None:
        return
    found = f"release {release}, PostgreSQL {versions['postgresql']}, {versions['broker']}"
    if release == own:
        yield ok("versions", found)
    else:
        yield warning("versions", f"{found}; this command is of release {own}", "Use the same release.")


async def check_key(service: Service) -> AsyncIterator[Finding]:
    """Yield whether the key is taken, and how much of its limits is used."""
    key_id = service.address.key_id
    try:
        limits = await service.get("/limits")
    except Refused as error:
        if error.status == HTTPStatus.FORBIDDEN:
            yield ok("key", f"key {key_id or 'of another kind'} is valid, without `jobs:read`")
            return
        yield failing("key", str(error.problem.get("detail", error)), f"Set {KEY_VARIABLE} to a valid key.")
        return
    if limits["key_id"] is None and service.address.key is None:
        yield ok("key", "none is asked for")
        return
    yield ok("key", f"key {limits['key_id'] or key_id or 'of another kind'} is valid")
    for limit in limits["limits"]:
        used = f"{limit['used']} of {limit['limit']} {limit['name']} are used"
        if limit["used"] >= NEARLY * limit["limit"]:
            yield warning("limits", used, f"It is free again {limit['resets_at'] or 'as jobs end'}; or raise it.")
        else:
            yield ok("limits", used)


def _encryption(address: Address) -> Finding | None:
    if address.is_loopback:
        return None
    if address.is_encrypted:
        return ok("encryption", f"{address.host} is reached over TLS")
    do = "Put a proxy with a certificate before it, and name it by https:// (docs/how-to/deploy.md)."
    if address.key is None:
        return warning("encryption", f"{address.host} is reached without TLS: anybody on the way can read along", do)
    return failing("encryption", f"the key goes to {address.host} without TLS: anybody on the way can read it", do)


def _clock(answer: Answer, took: float) -> Finding:
    told = answer.headers.get("Date")
    try:
        there = parsedate_to_datetime(told or "")
    except ValueError:
        return ok("clock", "the service doesn't tell its time")
    difference = (datetime.now(UTC) - there).total_seconds()
    if abs(difference) > CLOCK_SECONDS + took:
        ahead = "ahead of" if difference > 0 else "behind"
        detail = f"this machine's clock is {abs(difference):.0f} s {ahead} the service's"
        return warning("clock", detail, "Set both by NTP; times in logs and filters differ by so much.")
    return ok("clock", f"within {CLOCK_SECONDS:.0f} s of this machine's")
