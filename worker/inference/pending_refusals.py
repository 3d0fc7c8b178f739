"""Refusals on their way to be recorded: until a circuit breaker decides, no call of its pool starts."""

from db.batches import PoolKey
from db.results import BatchReport
from worker.context import Context
from worker.inference.runs import BatchRun
from worker.inference.runs_in_hand import RunsInHand


class PendingRefusals:
    """The pools that refused a call, from its end until that is recorded, or never will be."""

    def __init__(self, context: Context, in_hand: RunsInHand) -> None:
        self._context = context
        self._in_hand = in_hand
        self._pools: set[PoolKey] = set()

    def lets_start(self, run: BatchRun) -> bool:
        """Say whether calls of a batch may start, as far as refusals go."""
        return run.batch.pool not in self._pools

    def is_current(self, run: BatchRun) -> bool:
        """Say whether a batch is of an identity that is still configured."""
        return self._context.serving.identity_by_pool.get(run.batch.pool) == run.batch.identity_no

    def note(self, run: BatchRun, report: BatchReport) -> None:
        """Let the calls in flight be the last of all batches in hand, if this report has a refusal by their pool.

        A refusal by a former address changes no circuit breaker of the address that is configured now.
        """
        if not self.is_current(run):
            report.refusal, report.resets_breaker = None, False
        if report.refusal is not None:
            self._pools.add(run.batch.pool)
            for other in self._in_hand.runs:
                if other.batch.pool == run.batch.pool:
                    other.quantum.end()

    def forget(self, pool: PoolKey) -> None:
        """Let the circuit breaker decide about a pool from now on."""
        self._pools.discard(pool)
