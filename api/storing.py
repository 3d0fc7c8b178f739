"""Storing submissions: a group in one transaction, each decided from committed rows.

A group is looked up without a lock, so that joins and replays wait for nobody. Those that would create a job then try
their advisory locks (Idempotency-Key, id, spec hash), look again, and are stored. A duplicate is reported from a
committed row only, and nobody waits for an advisory lock: who doesn't get one is left to try again.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

import orjson

from api.answers import Answer, answer_created, answer_known, answer_preview
from api.backlog import Backlog
from api.submission_ledger import ledger_row, submission_tallies
from api.verdicts import CONFIGURATION, SUBMITTING, Submission, Verdict, judge, keeps_key, refuse_paused
from db import submissions, tallies
from db.engine import QUICK_SECONDS, Connection, Engine, connect, in_transaction
from db.submissions import KeptAnswer, NewJob
from domain.errors import BreakwaterError, Overloaded
from domain.fingerprint import body_hash
from domain.plan import pairs
from domain.redaction import redacted
from domain.spec import JobSpec

Judged: TypeAlias = tuple[Submission, Verdict]
Answered: TypeAlias = tuple[Submission, Answer | BreakwaterError]


@dataclass(frozen=True, slots=True)
class Stored:
    """What came of a group: answers, and those whose lock wasn't free. `waits_for` of these is set."""

    answers: list[Answered]
    left: list[Submission]


class Store:
    """Decides submissions and stores them. `keep_hours` are those of a key, `recent_seconds` those of a content."""

    def __init__(
        self,
        engine: Engine,
        *,
        worker_no: Callable[[], Awaitable[int]],
        keep_hours: float,
        recent_seconds: float,
        backlog: int,
    ) -> None:
        self._engine = engine
        self._worker_no = worker_no
        self._keep_hours = keep_hours
        self._recent_seconds = recent_seconds
        self._backlog = Backlog(backlog)

    async def preview(self, one: Submission) -> Answer:
        """Say what storing would answer, and store nothing. Raises what it would be refused with."""
        async with connect(self._engine, seconds=QUICK_SECONDS) as connection:
            verdict = refuse_paused(one, (await self._judge(connection, [one]))[0])
            matched = [verdict.job_no] if verdict.job_no is not None else []
            seen = await submissions.count_submissions(connection, matched) if matched else {}
        if verdict.error is not None:
            raise verdict.error
        return answer_preview(one, verdict, seen.get(verdict.job_no or 0, 0) + 1)

    async def store(self, group: Sequence[Submission], *, lock_timeout: str) -> Stored:
        """Answer a group from one transaction, which waits for no lock longer than `lock_timeout`.

        Raises BLOCKED and RACED, and whatever the database refuses; then nothing is stored.
        """
        await self._worker_no()  # entered into the register before any transaction needs it
        async with connect(self._engine, seconds=QUICK_SECONDS) as connection:
            looked = list(zip(group, await self._judge(connection, group), strict=True))
        looked = await self._put_off(looked)
        return await in_transaction(
            self._engine, lambda c: self._store_looked(c, looked, lock_timeout), seconds=QUICK_SECONDS
        )

    async def enter_refusals(self, refused: Sequence[tuple[Submission, BreakwaterError]]) -> None:
        """Enter submissions that are refused without a look into the ledger, in one transaction."""
        rows = [(one, Verdict("rejected", error.code, error=error)) for one, error in refused]

        async def unit(connection: Connection) -> None:
            await self._enter(connection, rows)
            await self._count(connection, rows)

        await in_transaction(self._engine, unit, seconds=QUICK_SECONDS)

    async def _put_off(self, looked: Sequence[Judged]) -> list[Judged]:
        """Refuse the new ones that the backlog has no room for."""
        new = [one for one, verdict in looked if verdict.is_new and one.normalized.refusal is None]
        room = await self._backlog.take(self._engine, len(new)) if new else 0
        beyond = {id(one) for one in new[room:]}
        refusal = self._backlog.refusal() if beyond else None
        return [
            (one, Verdict("rejected", Overloaded.code, error=refusal) if id(one) in beyond else verdict)
            for one, verdict in looked
        ]

    async def _store_looked(self, connection: Connection, looked: Sequence[Judged], lock_timeout: str) -> Stored:
        """Store what the first look decided, and what a second look, under locks, confirms as new.

        Only then is a pause held against it: whatever was taken before is joined or answered again, paused or not.
        """
        decided = [(one, verdict) for one, verdict in looked if not verdict.is_new and not keeps_key(one, verdict)]
        to_lock = [one for one, verdict in looked if verdict.is_new or keeps_key(one, verdict)]
        locked, left, now = await _lock(connection, to_lock, lock_timeout)
        judged = [
            (one, refuse_paused(one, verdict))
            for one, verdict in zip(locked, await self._judge(connection, locked), strict=True)
        ]
        decided += [(one, verdict) for one, verdict in judged if not verdict.is_new]
        created = await _insert_new(connection, [(one, verdict) for one, verdict in judged if verdict.is_new])
        entered = [*decided, *((one, verdict) for one, verdict, _ in created)]
        if entered:
            await self._enter(connection, entered)
        seen = await _times_seen(connection, [verdict for _, verdict in decided])
        answers: list[Answered] = [
            (one, verdict.error or answer_known(one, verdict, seen.get(verdict.job_no or 0, 1)))
            for one, verdict in decided
        ]
        answers += [(one, answer_created(one, verdict, job, now)) for one, verdict, job in created]
        await self._keep(connection, answers, [verdict for _, verdict in entered])
        if entered:
            await submissions.wait_for_own_rows(connection)
            await self._count(connection, entered)
        return Stored(answers, left)

    async def _judge(self, connection: Connection, group: Sequence[Submission]) -> list[Verdict]:
        """Return what committed rows say of each submission."""
        if not group:
            return []
        known = await submissions.look_up(
            connection,
            group[0].tenant_no,
            [one.wanted for one in group],
            keep_hours=self._keep_hours,
            recent_seconds=self._recent_seconds,
        )
        named = {number for one in known for number in (one.key_job_no, one.id_job_no, one.hash_job_no) if number}
        jobs = await submissions.load_submitted_jobs(connection, named) if named else {}
        return [judge(one, found, jobs) for one, found in zip(group, known, strict=True)]

    async def _enter(self, connection: Connection, decided: Sequence[Judged]) -> None:
        rows = [ledger_row(one, verdict) for one, verdict in decided]
        await submissions.insert_ledger_rows(connection, decided[0][0].tenant_no, rows)

    async def _count(self, connection: Connection, decided: Sequence[Judged]) -> None:
        counted = [tally for one, verdict in decided for tally in submission_tallies(one, verdict)]
        await tallies.add(connection, await self._worker_no(), counted)

    async def _keep(self, connection: Connection, answers: Sequence[Answered], verdicts: Sequence[Verdict]) -> None:
        """Keep the first answers of keys, without their specs."""
        kept = [
            KeptAnswer(
                key=one.key,
                request=SUBMITTING,
                body_hash=body_hash(one.body),
                job_no=verdict.job_no,
                status_code=answer.status_code,
                answer=_dump({**answer.body, "spec": None}),
                submitted=_dump(redacted(one.body)) if verdict.outcome == "joined" else None,
            )
            for (one, answer), verdict in zip(answers, verdicts, strict=True)
            if one.key is not None and isinstance(answer, Answer) and verdict.outcome != "replayed"
        ]
        if kept:
            await submissions.keep_answers(connection, answers[0][0].tenant_no, kept, keep_hours=self._keep_hours)


async def _lock(
    connection: Connection, group: Sequence[Submission], lock_timeout: str
) -> tuple[list[Submission], list[Submission], datetime]:
    """Try the locks of a group; return those that got all of theirs, those that didn't, and the transaction's time.

    Of several with the same lock in one group the first goes first; the others try again and then find its row. While
    a configuration is being applied nobody goes, not even one that needs no lock of its own.
    """
    got = await submissions.try_locks(connection, {lock for one in group for lock in one.locks}, lock_timeout)
    locked, left, taken = [], [], set[int]()
    for one in group:
        if got.is_configuration_kept:
            one.waits_for = next((kind for lock, kind in one.locks.items() if lock not in got.free), None)
        else:
            one.waits_for = CONFIGURATION
        if one.waits_for is None and taken.isdisjoint(one.locks):
            taken.update(one.locks)
            locked.append(one)
        else:
            left.append(one)
    return locked, left, got.at


async def _insert_new(connection: Connection, new: Sequence[Judged]) -> list[tuple[Submission, Verdict, NewJob]]:
    """Insert the jobs of new submissions; return each with its verdict, which names its job."""
    if not new:
        return []
    jobs = [_new_job(one) for one, _ in new]
    job_nos = await submissions.insert_jobs(connection, new[0][0].tenant_no, jobs)
    return [
        (one, replace(verdict, outcome="created", job_no=job_nos[job.id]), job)
        for (one, verdict), job in zip(new, jobs, strict=True)
    ]


async def _times_seen(connection: Connection, verdicts: Sequence[Verdict]) -> dict[int, int]:
    joined = [one.job_no for one in verdicts if one.outcome == "joined" and one.job_no is not None]
    return await submissions.count_submissions(connection, joined) if joined else {}


def _new_job(one: Submission) -> NewJob:
    spec = one.normalized.spec
    job = NewJob(
        id=spec.id or _new_id(),
        kind=spec.kind,
        name=spec.name,
        spec_hash=one.normalized.spec_hash,
        submitted=_dump(redacted(one.body)),
        spec=one.spec_text.decode(),
        normalization=one.notes_text.decode(),
        configuration_no=one.in_force.configuration.number,
        identity_nos=one.identity_nos,
    )
    return _planned(job, spec) if isinstance(spec, JobSpec) else job


def _planned(job: NewJob, spec: JobSpec) -> NewJob:
    return replace(
        job,
        planned=spec.planned,
        min_success_rate=spec.policy.min_success_rate,
        model_ids=[model.id for model in spec.models],
        region_ids=spec.regions,
        question_ids=[question.id for question in spec.questions],
        pairs=pairs(spec),
    )


def _new_id() -> str:
    """Return an id that sorts by its time: milliseconds since the epoch, then random digits."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()
