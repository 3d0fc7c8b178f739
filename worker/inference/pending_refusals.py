"""Refusals that aren't recorded yet: until the circuit breaker decides, no call of its pool starts."""

from db.batches import PoolKey
from db.results import BatchReport
from worker.context import Context
from worker.inference.runs import BatchRun
from worker.inference.runs_in_hand import RunsInHand


class PendingRefusals:
    """The pools that refused a call, from its end until the refusal is recorded, or can't be recorded."""

    def __init__(self, context: Context, in_hand: RunsInHand) -> None:
        self._context = context
        self._in_hand = in_hand
        self._pools: set[PoolKey] = set()

    def lets_start(self, run: BatchRun) -> bool:
        """Say whether pending refusals allow calls of a batch to start."""
        return run.batch.pool not in self._pools

    def is_current(self, run: BatchRun) -> bool:
        """Say whether a batch is of an identity that is still configured."""
        return run.batch.identity_no in self._context.serving.identity_nos_by_pool.get(run.batch.pool, ())

    def note(self, run: BatchRun, report: BatchReport) -> None:
        """If this report has a refusal, let batches of its pool start no more calls.

        A refusal by a former address doesn't affect the circuit breaker of the address that is configured now.
        """
        if not self.is_current(run):
            report.refusal, report.resets_breaker = None, False
        if report.refusal is not None:
            self._pools.add(run.batch.pool)
            for other in self._in_hand.runs:
                if other.batch.pool == run.batch.pool:
                    other.quantum.end()

    def forget(self, pool: PoolKey) -> None:
        """Forget a pool's refusal: from now on its circuit breaker decides."""
        self._pools.discard(pool)
