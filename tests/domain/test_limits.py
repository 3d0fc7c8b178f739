"""Grants: in the order of due batches, never past a limit, and nothing is held back that has room."""

from hypothesis import given
from hypothesis import strategies as st

from domain.limits import Due, grant_calls, grant_cells

POOLS = [("a", "us-east"), ("a", "eu-west"), ("b", "us-east")]
rooms = st.none() | st.integers(0, 20)
jobs = st.fixed_dictionaries(dict.fromkeys((1, 2, 3), rooms))
batches = st.lists(st.tuples(st.sampled_from([1, 2, 3]), st.sampled_from(POOLS), st.integers(0, 12)), max_size=30)


def due(batches_: list[tuple[int, tuple[str, str], int]], room_by_job: dict[int, int | None]) -> list[Due]:
    return [
        Due(job_no, batch_no, pool, open_cells, room_by_job[job_no])
        for batch_no, (job_no, pool, open_cells) in enumerate(batches_)
    ]


@given(batches, jobs, st.tuples(rooms, rooms, rooms), st.integers(0, 40))
def test_no_limit_is_passed_and_none_is_left_unused(found, room_by_job, pool_rooms, calls) -> None:
    waiting = due(found, room_by_job)
    room_by_pool = dict(zip(POOLS, pool_rooms, strict=True))
    granted, left = grant_calls(waiting, room_by_pool, calls)
    permits_by_batch = {grant.due.batch_no: grant.permits for grant in granted}
    assert sum(permits_by_batch.values()) <= calls
    for pool, room in room_by_pool.items():
        used = sum(grant.permits for grant in granted if grant.due.pool == pool)
        assert left[pool] == (None if room is None else room - used)
        assert room is None or used <= room
    for job_no, room in room_by_job.items():
        assert room is None or sum(grant.permits for grant in granted if grant.due.job_no == job_no) <= room
    for item in waiting:
        permits = permits_by_batch.get(item.batch_no, 0)
        if permits < max(item.open_cells, 1):  # something kept it from more: the worker, its pool or its job is full
            is_job_full = item.job_room == sum(x.permits for x in granted if x.due.job_no == item.job_no)
            assert left[item.pool] == 0 or is_job_full or sum(permits_by_batch.values()) == calls
        assert permits <= max(item.open_cells, 1)


def test_the_first_batch_in_order_gets_the_remaining_permits_first() -> None:
    waiting = due([(1, POOLS[0], 6), (2, POOLS[0], 6), (3, POOLS[0], 6)], {1: None, 2: None, 3: None})
    granted, _ = grant_calls(waiting, {POOLS[0]: 10}, 100)
    assert [grant.permits for grant in granted] == [6, 4]


def test_a_batch_that_has_no_cells_left_is_still_taken_to_be_ended() -> None:
    (only,), _ = grant_calls([Due(1, 1, POOLS[0], 0)], {POOLS[0]: 1}, 1)
    assert only.permits == 1


def test_a_batch_that_is_taken_over_brings_its_permits_and_leaves_the_surplus() -> None:
    lost = Due(1, 1, POOLS[0], open_cells=2, job_room=0, own_permits=5)
    other = Due(2, 2, POOLS[0], open_cells=9)
    granted, left = grant_calls([lost, other], {POOLS[0]: 0}, 100)
    assert [grant.permits for grant in granted] == [2, 3]
    assert left == {POOLS[0]: 0}


@given(batches, st.integers(1, 40))
def test_of_a_probed_pool_one_call_is_granted(found, calls) -> None:
    waiting = due(found, {1: None, 2: None, 3: None})
    granted, _ = grant_calls(waiting, dict.fromkeys(POOLS, 20), calls, probed={POOLS[0]})
    probes = [grant.permits for grant in granted if grant.due.pool == POOLS[0]]
    assert probes in ([], [1])


@given(st.lists(st.integers(1, 300), max_size=20), st.integers(0, 1000))
def test_cells_are_taken_up_to_one_batch_more(sizes, cells) -> None:
    taken = grant_cells([Due(1, n, POOLS[0], size) for n, size in enumerate(sizes)], cells)
    assert taken == sorted(taken, reverse=True)
    sums = [sum(sizes[:n]) for n in range(len(sizes))]
    assert taken == [before < cells for before in sums]
