"""Which submissions are taken together: of all tenants in turn, and none that needs what another one waits for."""

import asyncio
from datetime import UTC, datetime

from configuration.content import Configuration
from configuration.in_force import InForce
from domain.tenant_names import DEFAULT_TENANT
from submissions.lanes import GROUP, Lanes, Pending, groups_of
from submissions.submission import Sender, read_submission
from tests.support.configurations import IDENTITY_NOS, REGISTRY, SIMULATED
from tests.support.service import unique

IN_FORCE = InForce(Configuration(1, SIMULATED, datetime(2026, 1, 1, tzinfo=UTC), "a test", IDENTITY_NOS), REGISTRY)


def pending(tenant_no: int, *, key: str | None = None) -> Pending:
    """A submission of a tenant that waits for its response; call it in a running loop."""
    submission = read_submission(
        unique(), IN_FORCE, tenant=DEFAULT_TENANT, tenant_no=tenant_no, key=key, sender=Sender("r", None, None)
    )
    return Pending(submission, deadline=0.0)


async def test_tenants_take_turns_so_that_none_waits_behind_anothers_flood() -> None:
    lanes = Lanes()
    flood = [pending(1) for _ in range(2 * GROUP + 1)]
    for each in flood:
        lanes.add(each)
    late = pending(2)
    lanes.add(late)
    taken = [lanes.next_group() for _ in range(3)]
    assert taken == [[flood[0], late, *flood[1 : GROUP - 1]], flood[GROUP - 1 : 2 * GROUP - 1], flood[2 * GROUP - 1 :]]
    assert not lanes.has_new.is_set()


async def test_a_group_holds_the_first_submissions_of_many_tenants_and_then_their_next() -> None:
    lanes = Lanes()
    by_tenant = [[pending(number), pending(number)] for number in range(GROUP)]
    for arrived in by_tenant:
        for each in arrived:
            lanes.add(each)
    assert lanes.next_group() == [first for first, _ in by_tenant]
    assert lanes.next_group() == [second for _, second in by_tenant]
    assert lanes.next_group() == []


async def test_a_submission_that_needs_a_waited_for_lock_waits_too() -> None:
    lanes = Lanes()
    first, follower, other_tenants, free = pending(1, key="k"), pending(1, key="k"), pending(2, key="k"), pending(1)
    lanes.put_aside([first])
    for each in (follower, other_tenants, free):
        lanes.add(each)
    assert lanes.next_group() == [other_tenants, free]
    assert lanes.waiting() == [first, follower]


async def test_a_lane_that_was_emptied_after_it_woke_its_reader_gives_none() -> None:
    lanes = Lanes()
    reader = asyncio.create_task(lanes.has_new.wait())
    await asyncio.sleep(0)  # until it waits
    rejected = pending(1)
    lanes.add(rejected)
    assert lanes.take_new() == [rejected]
    await reader
    assert lanes.next_group() == []


async def test_those_that_wait_are_tried_by_tenant_and_followed_by_those_put_aside_meanwhile() -> None:
    lanes = Lanes()
    waiting = [pending(number % 2) for number in range(2 * GROUP + 2)]
    lanes.put_aside(waiting)
    groups = groups_of(lanes.waiting())
    assert groups == [waiting[::2][:GROUP], waiting[::2][GROUP:], waiting[1::2][:GROUP], waiting[1::2][GROUP:]]
    late = pending(3)
    lanes.put_aside([late])
    lanes.end_round(len(waiting), [waiting[5]])
    assert lanes.waiting() == [waiting[5], late]
    lanes.end_round(2, [])
    assert not lanes.has_waiting.is_set()
