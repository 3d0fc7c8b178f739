"""Which connections give way where a process has as many as it may: those it can best do without, fairly by tenant."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from operator import attrgetter
from typing import TYPE_CHECKING, cast

from api.unsent import caller_on

if TYPE_CHECKING:
    from api.bounded_connections import BoundedConnection

FRESH_SECONDS = 1.0
"""A client that has just connected may be about to send its request; one that has just got an answer, to read it."""
AT_ONCE = 64
"""One in so many connections gives way at once: to look at all of them for each newcomer would cost."""


class Use(IntEnum):
    """What a connection is in use for."""

    REFUSED = 0
    SILENT = 1
    """It never sent a request."""
    IDLE = 2
    AWAITED = 3
    """Its request isn't all here, so nothing was done for it."""
    UNREAD = 4
    """All of its answer was written, and its client doesn't take it."""
    READ = 5
    """Its request changes nothing and has no part of an answer yet, so it may be repeated."""
    NEEDED = 6


class Standing:
    """A connection as it is at one moment: its use, and since when, or longer (the event loop's clock).

    `tenant_no` is that of its last caller who was found; None while authentication is off. `is_anonymous` if there was
    none.
    """

    __slots__ = ("connection", "is_anonymous", "since", "tenant_no", "use")

    def __init__(self, connection: "BoundedConnection") -> None:
        caller = caller_on(connection) or connection.last_caller
        self.connection = connection
        self.use = _use_of(connection)
        self.since = connection.waiting_since
        self.is_anonymous = caller is None
        self.tenant_no = None if caller is None or caller.name is None else caller.tenant_no


def _use_of(connection: "BoundedConnection") -> Use:
    cycle, is_unread = connection.in_work, connection.transport.get_write_buffer_size() > 0
    if cycle is None:
        return Use.REFUSED if connection.is_refused and not is_unread else Use.SILENT
    if cycle.response_complete or cycle.disconnected:
        return Use.UNREAD if is_unread else Use.REFUSED if connection.is_refused else Use.IDLE
    if cycle.response_started:
        return Use.NEEDED
    if cycle.more_body:
        return Use.AWAITED
    return Use.READ if cycle.scope["method"] in {"GET", "HEAD"} else Use.NEEDED


_since = attrgetter("since")


def make_room(newcomer: "BoundedConnection") -> bool:
    """Have some of a process's other connections give way to this one; return whether any could."""
    others = (cast("BoundedConnection", each) for each in newcomer.connections if each is not newcomer)
    giving_way = find_dispensable(others, newcomer.loop.time())
    for each in giving_way:
        each.cut_off("room_needed")
    return bool(giving_way)


def find_dispensable(connections: Iterable["BoundedConnection"], now: float) -> "Sequence[BoundedConnection]":
    """Return some connections that give way, at least one if any can.

    In this order: refused ones; of clients without a caller, silent, idle and unread ones; of the tenant that has most,
    if that is more than its share, its idle ones, then those whose body or reading is awaited, then its newest reads;
    then those that have just connected, idle ones, and bodies and readers that are awaited. Of each kind those go that
    have waited longest. No other request in work gives way.
    """
    standing = [Standing(each) for each in connections]
    most = max(1, len(standing) // AT_ONCE)
    found = next(filter(None, _groups(standing, now)), ())
    return [each.connection for each in found[:most]]


def _groups(standing: Sequence[Standing], now: float) -> Iterator[Sequence[Standing]]:
    def oldest(is_one: Callable[[Standing], bool]) -> Sequence[Standing]:
        return sorted(filter(is_one, standing), key=_since)

    def is_stale(each: Standing) -> bool:
        return now - each.since >= FRESH_SECONDS

    yield oldest(lambda each: each.use is Use.REFUSED)
    yield oldest(lambda each: each.is_anonymous and each.use in {Use.SILENT, Use.IDLE, Use.UNREAD} and is_stale(each))
    yield _excess(standing)
    for use in (Use.SILENT, Use.IDLE, Use.AWAITED):
        yield oldest(lambda each, use=use: each.use is use)  # type: ignore[misc]
    yield oldest(lambda each: each.use is Use.UNREAD and is_stale(each))


def _excess(standing: Sequence[Standing]) -> Sequence[Standing]:
    """Return what the tenants that have most have beyond their share: of n tenants each may have one part in n + 1.

    So a tenant may have a half, two a third each, and something is left for the next one. None has less than one.
    """
    counts = Counter(each.tenant_no for each in standing if each.tenant_no is not None)
    most = max(counts.values(), default=0)
    share = max(1, len(standing) // (len(counts) + 1))
    if most <= share:
        return ()
    theirs = [each for each in standing if each.tenant_no is not None and counts[each.tenant_no] == most]
    for use in (Use.IDLE, Use.AWAITED, Use.UNREAD):
        if found := sorted((each for each in theirs if each.use is use), key=_since):
            return found[: most - share]
    reads = sorted((each for each in theirs if each.use is Use.READ), key=_since, reverse=True)
    return reads[: most - share]
