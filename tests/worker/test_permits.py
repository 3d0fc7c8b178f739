"""Permits: whatever order calls, claims, reports and lost leases come in, none is counted twice and none is lost."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from worker.inference.permits import BatchPermits, Permits

LIMIT = 10


@dataclass
class Row:
    """A batch's row in the database, as claims and reports leave it, and the permits that the batch still holds."""

    counted: int
    outstanding: list[int] = field(default_factory=list)
    has_ended: bool = False
    is_finished: bool = False


class Fleet(RuleBasedStateMachine):
    """Claims, calls and reports of several batches, beside what the database counts of each."""

    released = Bundle("released")
    finished = Bundle("finished")

    def __init__(self) -> None:
        super().__init__()
        self.permits = Permits(LIMIT)
        self.rows: list[tuple[BatchPermits, Row]] = []

    @rule(count=st.integers(0, 5))
    def claim(self, count: int) -> None:
        permits = self.permits.acquire(count)
        self.rows.append((permits, Row(count, list(permits.held))))

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), count=st.integers(1, 3))
    def grow(self, data: st.DataObject, count: int) -> None:
        permits, row = self.draw(data)
        added = permits.grow(count)
        if row.has_ended or row.is_finished:
            assert not added, "the lease ended: the claim's row is another holder's"
            return
        assert len(added) == count
        row.outstanding += added
        row.counted += count

    @precondition(lambda self: any(row.outstanding for _, row in self.rows))
    @rule(target=released, data=st.data())
    def release(self, data: st.DataObject) -> tuple[BatchPermits, int]:
        permits, row = data.draw(st.sampled_from([row for row in self.rows if row[1].outstanding]))
        permit = row.outstanding.pop(data.draw(st.integers(0, len(row.outstanding) - 1)))
        permits.release(permit)
        return permits, permit

    @rule(again=released)
    def release_again(self, again: tuple[BatchPermits, int]) -> None:
        """A call that ended twice, or after its batch was finished."""
        permits, permit = again
        permits.release(permit)

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        permits, row = self.draw(data)
        count, is_last = permits.report()
        row.counted -= count
        assert is_last == (row.has_ended or row.is_finished or not row.outstanding)
        row.has_ended = row.has_ended or is_last
        assert row.counted == len(row.outstanding), "after a report the database counts what is held"

    @precondition(lambda self: self.rows)
    @rule(target=finished, data=st.data())
    def finish(self, data: st.DataObject) -> BatchPermits:
        permits, row = self.draw(data)
        row.is_finished = True
        row.outstanding.clear()
        permits.finish()
        return permits

    @rule(again=finished)
    def finish_again(self, again: BatchPermits) -> None:
        again.finish()

    @invariant()
    def the_worker_counts_what_its_batches_hold(self) -> None:
        assert self.permits.in_use == sum(len(row.outstanding) for _, row in self.rows)
        assert self.permits.available == max(0, LIMIT - self.permits.in_use)

    @invariant()
    def a_batch_holds_what_it_did_not_release(self) -> None:
        for permits, row in self.rows:
            assert sorted(permits.held) == sorted(row.outstanding)

    @invariant()
    def the_database_counts_no_less_than_is_held(self) -> None:
        for _, row in self.rows:
            assert row.counted >= len(row.outstanding)

    def draw(self, data: st.DataObject) -> tuple[BatchPermits, Row]:
        rows: Sequence[tuple[BatchPermits, Row]] = self.rows
        return data.draw(st.sampled_from(rows))


TestPermits = Fleet.TestCase


def test_the_report_of_the_last_permit_says_so_and_bars_growth() -> None:
    permits = Permits(LIMIT).acquire(2)
    first, second = permits.held
    permits.release(first)
    assert permits.report() == (1, False)
    permits.release(second)
    assert permits.grow(1) == range(2, 3), "nothing said yet that the batch's lease ends"
    permits.release(2)
    assert permits.report() == (2, True)
    assert permits.grow(1) == range(0)
