"""The transaction of submissions: it decides a group from committed rows, each of its tenant's, and stores it.

A group is looked up without a lock, so that joins and replays don't wait. New submissions then try their advisory
locks (Idempotency-Key, id, spec hash), are looked up again, and are stored. A duplicate is reported from a committed
row only, and no transaction waits for an advisory lock: a submission that doesn't get its lock is retried later.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

import orjson

from db import counters, submissions
from db.engine import QUICK_SECONDS, Connection, Engine, connect, in_transaction
from db.ledger import insert_ledger_rows
from db.submission_events import write_submitted_events
from db.submissions import FirstResponse, NewJob
from domain.errors import BreakwaterError
from domain.fingerprint import body_hash
from submissions.backlog import Backlog
from submissions.decisions import SUBMITTING, Decided, Decision, Outcome, decide, keeps_key, reject, reject_paused
from submissions.ledger import ledger_row, submission_counters, submission_event
from submissions.new_jobs import new_job
from submissions.quotas import add_active_jobs, count_on_quotas, look_at_quotas
from submissions.responses import (
    SubmissionResponse,
    rejection_of,
    respond_created,
    respond_known,
    respond_preview,
)
from submissions.submission import Submission

CONFIGURATION = "configuration"
"""The value of `Waits` while another configuration is being applied."""

Answered: TypeAlias = tuple[Submission, SubmissionResponse | BreakwaterError]
Waits: TypeAlias = dict[Submission, str | None]
"""The lock (`key`, `id`, `spec`) that a submission didn't get at its last try, or CONFIGURATION; None: it got all."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The result of a group: the answered submissions, and those to retry."""

    answered: list[Answered]
    to_retry: list[Submission]


class SubmissionTransaction:
    """Decides submissions and stores them, each group in one transaction.

    `keep_hours` is how long a key is kept, `recent_seconds` how long a result is joined, `backlog` bounds the jobs
    that wait to be planned.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        worker_no: Callable[[], Awaitable[int]],
        keep_hours: float,
        recent_seconds: float,
        backlog: Backlog,
    ) -> None:
        self._engine = engine
        self._worker_no = worker_no
        self._keep_hours = keep_hours
        self._recent_seconds = recent_seconds
        self._backlog = backlog

    async def preview(self, submission: Submission) -> SubmissionResponse:
        """Return the response that storing would give, and store nothing. Raises the error of a rejection."""
        async with connect(self._engine, seconds=QUICK_SECONDS) as connection:
            decision = reject_paused(submission, (await self._decide(connection, [submission]))[0])
            decision = await look_at_quotas(connection, submission, decision)
            matched = [decision.job_no] if decision.job_no is not None else []
            seen = await submissions.count_submissions(connection, matched) if matched else {}
        if (error := rejection_of(submission, decision)) is not None:
            raise error
        return respond_preview(submission, decision, seen.get(decision.job_no or 0, 0) + 1)

    async def store(self, group: Sequence[Submission], *, lock_timeout: str, waits: Waits) -> Stored:
        """Answer a group from one transaction, which waits for no lock longer than `lock_timeout`.

        The locks that weren't free are entered into `waits`, even if the transaction then fails. Raises
        LOCK_TIMED_OUT, UNIQUE_VIOLATION and other errors of the database; then nothing is stored.
        """
        await self._worker_no()  # registers the process before a transaction needs its number
        async with connect(self._engine, seconds=QUICK_SECONDS) as connection:
            looked_up = list(zip(group, await self._decide(connection, group), strict=True))
        looked_up = await self._reject_beyond_backlog(looked_up)
        return await in_transaction(
            self._engine, lambda c: self._store(c, looked_up, lock_timeout, waits), seconds=QUICK_SECONDS
        )

    async def enter_rejections(self, rejected: Sequence[tuple[Submission, BreakwaterError]]) -> None:
        """Enter rejections, which need no look-up, into the ledger in one transaction."""
        decided = [(submission, reject(error)) for submission, error in rejected]

        async def unit(connection: Connection) -> None:
            await _enter(connection, decided)
            await self._count(connection, decided)

        await in_transaction(self._engine, unit, seconds=QUICK_SECONDS)

    async def _reject_beyond_backlog(self, looked_up: Sequence[Decided]) -> list[Decided]:
        """Reject the new submissions that exceed the backlog."""
        new = [each for each, decision in looked_up if decision.is_new and each.normalized.refusal is None]
        refusals = await self._backlog.take(self._engine, [each.tenant_no for each in new]) if new else []
        refusal_of = {each: refusal for each, refusal in zip(new, refusals, strict=True) if refusal is not None}
        return [(each, reject(refusal_of[each]) if each in refusal_of else decision) for each, decision in looked_up]

    async def _store(
        self, connection: Connection, looked_up: Sequence[Decided], lock_timeout: str, waits: Waits
    ) -> Stored:
        """Store the decisions of the first look-up, and the submissions that a second, locked look-up confirms as new.

        A pause or a quota rejects only confirmed new submissions: earlier jobs are joined or answered again.
        """
        decided = [each for each in looked_up if not _needs_locks(*each)]
        to_lock = [each[0] for each in looked_up if _needs_locks(*each)]
        locked, to_retry, now = await _lock(connection, to_lock, lock_timeout, waits)
        confirmed = [
            (submission, reject_paused(submission, decision))
            for submission, decision in zip(locked, await self._decide(connection, locked), strict=True)
        ]
        confirmed = await count_on_quotas(connection, confirmed)
        decided += [each for each in confirmed if not each[1].is_new]
        created = await _insert_new(connection, [each for each in confirmed if each[1].is_new])
        entered = [*decided, *((submission, decision) for submission, decision, _ in created)]
        if entered:
            await _enter(connection, entered)
        seen = await _times_seen(connection, [decision for _, decision in decided])
        answered: list[Answered] = [
            (each, rejection_of(each, decision) or respond_known(each, decision, seen.get(decision.job_no or 0, 1)))
            for each, decision in decided
        ]
        answered += [(each, respond_created(each, decision, job, now)) for each, decision, job in created]
        await self._keep(connection, answered, [decision for _, decision in entered])
        if entered:
            await submissions.wait_for_own_rows(connection)
            await self._count(connection, entered)
        return Stored(answered, to_retry)

    async def _decide(self, connection: Connection, group: Sequence[Submission]) -> list[Decision]:
        """Decide each submission of a group by committed rows."""
        if not group:
            return []
        known = await submissions.look_up(
            connection,
            [submission.wanted for submission in group],
            keep_hours=self._keep_hours,
            recent_seconds=self._recent_seconds,
        )
        named = {number for each in known for number in (each.key_job_no, each.id_job_no, each.hash_job_no) if number}
        jobs = await submissions.load_submitted_jobs(connection, named) if named else {}
        return [decide(submission, found, jobs) for submission, found in zip(group, known, strict=True)]

    async def _count(self, connection: Connection, decided: Sequence[Decided]) -> None:
        counted = [counter for submission, decision in decided for counter in submission_counters(submission, decision)]
        await counters.add(connection, await self._worker_no(), counted)

    async def _keep(self, connection: Connection, answered: Sequence[Answered], decisions: Sequence[Decision]) -> None:
        """Keep the first responses under their keys, without their specs."""
        kept = [
            FirstResponse(
                tenant_no=submission.tenant_no,
                key=submission.key,
                request=SUBMITTING,
                body_hash=body_hash(submission.body),
                job_no=decision.job_no,
                status_code=response.status_code,
                answer=_dump({**response.body, "spec": None}),
                submitted=_dump(submission.shown_body) if decision.outcome is Outcome.JOINED else None,
            )
            for (submission, response), decision in zip(answered, decisions, strict=True)
            if submission.key is not None
            and isinstance(response, SubmissionResponse)
            and decision.outcome is not Outcome.REPLAYED
        ]
        if kept:
            await submissions.keep_first_responses(connection, kept, keep_hours=self._keep_hours)


def _needs_locks(submission: Submission, decision: Decision) -> bool:
    return decision.is_new or keeps_key(submission, decision)


async def _lock(
    connection: Connection, group: Sequence[Submission], lock_timeout: str, waits: Waits
) -> tuple[list[Submission], list[Submission], datetime]:
    """Try the locks of a group; return the submissions that got all of them, the others, and the transaction's time.

    Of several submissions with the same lock the first is stored; the others are retried and then find its row. While a
    configuration is being applied no submission is stored, even without locks.
    """
    got = await submissions.try_locks(connection, {lock for each in group for lock in each.locks}, lock_timeout)
    locked, to_retry, taken = [], [], set[int]()
    for submission in group:
        if got.is_configuration_kept:
            waits[submission] = next((kind for lock, kind in submission.locks.items() if lock not in got.free), None)
        else:
            waits[submission] = CONFIGURATION
        if waits[submission] is None and taken.isdisjoint(submission.locks):
            taken.update(submission.locks)
            locked.append(submission)
        else:
            to_retry.append(submission)
    return locked, to_retry, got.at


async def _insert_new(connection: Connection, new: Sequence[Decided]) -> list[tuple[Submission, Decision, NewJob]]:
    """Insert the jobs of new submissions; return each with its decision, which names its job."""
    if not new:
        return []
    jobs = [new_job(submission) for submission, _ in new]
    job_nos = await submissions.insert_jobs(connection, jobs)
    job_no_of = [job_nos[job.tenant_no, job.id] for job in jobs]
    await add_active_jobs(connection, [(each, job_no) for (each, _), job_no in zip(new, job_no_of, strict=True)])
    return [
        (submission, replace(decision, outcome=Outcome.CREATED, job_no=job_no), job)
        for (submission, decision), job, job_no in zip(new, jobs, job_no_of, strict=True)
    ]


async def _enter(connection: Connection, decided: Sequence[Decided]) -> None:
    rows = [ledger_row(submission, decision) for submission, decision in decided]
    await insert_ledger_rows(connection, rows)
    events = [event for each in decided if (event := submission_event(*each)) is not None]
    if events:
        await write_submitted_events(connection, events)


async def _times_seen(connection: Connection, decisions: Sequence[Decision]) -> dict[int, int]:
    joined = [
        decision.job_no for decision in decisions if decision.outcome is Outcome.JOINED and decision.job_no is not None
    ]
    return await submissions.count_submissions(connection, joined) if joined else {}


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()
