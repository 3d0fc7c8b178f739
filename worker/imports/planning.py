"""Planning an import under its lease: surveying its sources, and writing its plan or its failure, once."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import orjson

from db import counters, import_coordination, import_plans
from db.counters import increment
from db.engine import REJECTED, UNAVAILABLE, Connection, in_transaction
from db.import_coordination import Coordination, TriggerOutcomes
from db.import_plans import ImportPlan, KeyChanged, Written
from domain.identities import of_source
from domain.import_spec import ImportSpec
from runtime.metrics import RETRIES
from runtime.retrying import retry
from sources.errors import SourceNotConfigured
from sources.survey import SurveyFailure, failure_of, plan, survey
from worker.context import Context
from worker.imports import coordination_failures
from worker.imports.coordination_failures import UNPLANNABLE, Failure
from worker.imports.coordination_lease import Fenced
from worker.imports.skip_list import SkipList
from worker.runner import LOST_LEASES_LIMIT
from worker.trigger_counters import trigger_increments

RETRY_SECONDS = 0.5

Result = TypeVar("Result")


class ImportPlanner:
    """Plans imports whose lease is held. `on_planned` is called after the commit of each plan.

    Jobs whose sources this worker doesn't know are added to `skipped`.
    """

    def __init__(self, context: Context, on_planned: Callable[[], None], skipped: SkipList) -> None:
        self._context = context
        self._on_planned = on_planned
        self._skipped = skipped

    async def write(self, coordination: Coordination, found: tuple[ImportSpec, ImportPlan] | Failure) -> None:
        """Write the plan or the failure that a survey found. Raises Fenced if the lease is lost."""
        failure = found if isinstance(found, Failure) else await self._write(coordination, *found)
        if failure is not None:
            await self._repeat(coordination, lambda: self._commit_failure(coordination, failure))
            self._log_failure(coordination, failure)

    async def survey(self, coordination: Coordination) -> tuple[ImportSpec, ImportPlan] | Failure:
        """Count an import's sources and return its plan, or why there is none."""
        if coordination.lost_leases >= LOST_LEASES_LIMIT:
            return coordination_failures.leases_lost(coordination)
        try:
            spec = ImportSpec.from_json(coordination.spec)
        except (LookupError, ValueError, TypeError, AttributeError) as error:  # another version stored it
            return Failure(UNPLANNABLE, f"This version can't plan the stored spec: {type(error).__name__}.")
        numbers = self._context.serving.configuration.identity_nos
        accepted = {key.shared: number for key, number in numbers.items() if number in coordination.identity_nos}
        found = await survey(spec, lambda source: self._context.open_source(source, accepted.get(of_source(source))))
        for record_type, result in found.items():
            if isinstance(result, SurveyFailure) and result.cause is not None:
                self._context.log.error(
                    "source_failed", job_id=coordination.id, record_type=record_type, exc_info=result.cause
                )
        failure = failure_of(spec, found)
        if failure is not None:
            return coordination_failures.survey_failed(coordination, failure, policy=spec.policy)
        return spec, plan(spec, found, accepted)

    async def _write(self, coordination: Coordination, spec: ImportSpec, plan: ImportPlan) -> Failure | None:
        """Write a plan; return the failure if it can't be written."""
        facts = _facts(plan)
        try:
            written = await self._repeat(coordination, lambda: self._commit_plan(coordination, plan, facts))
        except KeyChanged as changed:
            return coordination_failures.key_changed(changed)
        except REJECTED:
            self._context.log.exception("plan_refused", job_id=coordination.id)
            return Failure(UNPLANNABLE, "The database refuses the plan of the stored spec.")
        self._log_plan(coordination, written, max_concurrent=spec.policy.max_concurrent, facts=facts)
        self._on_planned()
        return None

    async def _repeat(self, coordination: Coordination, commit: Callable[[], Awaitable[Result]]) -> Result:
        return await retry(
            commit,
            on=UNAVAILABLE,
            delay_seconds=RETRY_SECONDS,
            log_delay=lambda error: self._context.log.warning(
                "coordination_delayed", job_id=coordination.id, error=str(error)
            ),
        )

    async def _commit_plan(self, coordination: Coordination, plan: ImportPlan, facts: Mapping[str, int]) -> Written:
        event = orjson.dumps({**facts, "fence": coordination.fence}).decode()

        async def unit(connection: Connection) -> Written:
            worker_no = self._context.worker_no
            written = await import_plans.write_plan(
                connection, coordination, plan, source=coordination.source, event=event, worker_no=worker_no
            )
            if written is None:
                raise Fenced
            await counters.add(connection, worker_no, trigger_increments(written.outcomes))
            return written

        return await in_transaction(self._context.engine, unit)

    async def _commit_failure(self, coordination: Coordination, failure: Failure) -> None:
        """Fail an import, or reschedule its coordination."""

        async def unit(connection: Connection) -> None:
            worker_no = self._context.worker_no
            event = {"code": failure.code, "detail": failure.detail}
            outcomes: TriggerOutcomes | None
            if failure.is_retryable:
                outcomes = await import_coordination.reschedule(
                    connection,
                    coordination,
                    tries=int(not failure.is_forgiven),
                    due_in_seconds=coordination_failures.wait_seconds(coordination, failure),
                    source=coordination.source,
                    event=event,
                    outcome="failed",
                    is_unavailable=failure.is_unavailable,
                )
                await counters.add(connection, worker_no, [increment(RETRIES.name, 1, reason=failure.code)])
            else:
                outcomes = await import_coordination.fail(
                    connection, coordination, **event, source=coordination.source, worker_no=worker_no
                )
            if outcomes is None:
                raise Fenced
            await counters.add(connection, worker_no, trigger_increments(outcomes))

        await in_transaction(self._context.engine, unit)
        if failure.code == SourceNotConfigured.code:
            self._skipped.add(coordination.job_no)

    def _log_failure(self, coordination: Coordination, failure: Failure) -> None:
        self._context.log.warning(
            "coordination_put_off" if failure.is_retryable else "job_not_coordinated",
            job_id=coordination.id,
            source=coordination.source,
            code=failure.code,
            detail=failure.detail,
        )

    def _log_plan(
        self, coordination: Coordination, written: Written, *, max_concurrent: int | None, facts: Mapping[str, int]
    ) -> None:
        log = self._context.log
        log.info(
            "job_coordinated",
            job_id=coordination.id,
            source=coordination.source,
            outcome="won",
            fence=coordination.fence,
            max_concurrent=max_concurrent,
            **facts,
        )
        for record_type, respelled in written.respelled.items():
            if respelled.renamed or respelled.merged:
                counts = {"renamed": respelled.renamed, "merged": respelled.merged}
                log.info("record_keys_respelled", job_id=coordination.id, record_type=record_type, **counts)
        if written.final_status is not None:
            log.info("job_finished", job_id=coordination.id, status=written.final_status)


def _facts(plan: ImportPlan) -> Mapping[str, int]:
    return {
        "record_types": len(plan.record_types),
        "rows": sum(record_type.rows_expected for record_type in plan.record_types),
        "waves": len(plan.levels),
        "batches": len(plan.batches),
    }
