"""Submitting: many submissions in one transaction, each decided from committed rows.

A group is looked up without a lock, so that joins and replays wait for nobody. Those that would create a job then try
their advisory locks (Idempotency-Key, id, spec hash), look again, and are stored. Whoever doesn't get a lock goes round
again: a duplicate is reported from a committed row only, and nobody waits for a lock while holding one.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeAlias

import orjson
import structlog

from api.answers import Answer, answer_created, answer_known, answer_preview
from api.backlog import Backlog
from api.verdicts import Sender, Submission, Verdict, judge, keeps_key, refuse_paused
from db import submissions, tallies
from db.engine import GONE, QUICK_SECONDS, Connection, Engine, connect, in_transaction
from db.submissions import BLOCKED, RACED, KeptAnswer, LedgerRow, NewJob
from db.tallies import Tally, tally
from domain.errors import BreakwaterError, DuplicateJob, KeyInFlight, Overloaded
from domain.fingerprint import body_hash
from domain.notes import Action
from domain.plan import pairs
from domain.redaction import redacted
from domain.spec import JobSpec
from runtime.metrics import DUPLICATES_PREVENTED, JOBS_SUBMITTED

GROUP = 128
PATIENCE_SECONDS = 1.0
"""How long a submission with a key goes round for a lock that another one holds."""
STORE_PATIENCE_SECONDS = 5.0
SILENT_SECONDS = 0.5
PAUSE_SECONDS = 0.004

Looked: TypeAlias = tuple[Submission, Verdict | None]
Answered: TypeAlias = tuple[Submission, Answer | BreakwaterError]


class Submitter:
    """Takes submissions and answers them, a group at a time; `on_created` hears of new jobs after their commit."""

    def __init__(
        self,
        engine: Engine,
        *,
        worker_no: Callable[[], Awaitable[int]],
        keep_hours: float,
        recent_seconds: float,
        backlog: int,
        on_created: Callable[[Sequence[int]], None],
    ) -> None:
        self._engine = engine
        self._worker_no = worker_no
        self._keep_hours = keep_hours
        self._recent_seconds = recent_seconds
        self._backlog = Backlog(backlog)
        self._on_created = on_created
        self._waiting: list[Submission] = []
        self._arrived = asyncio.Event()
        self._log = structlog.stdlib.get_logger()

    async def submit(self, submission: Submission) -> Answer:
        """Answer one submission. Raises what it is refused with, and Overloaded when the database is away.

        The job is stored even if the caller stops waiting.
        """
        submission.deadline = time.monotonic() + PATIENCE_SECONDS
        self._waiting.append(submission)
        self._arrived.set()
        return await submission.answered

    async def preview(self, submission: Submission) -> Answer:
        """Say what a POST would do, by the same steps, and store nothing. Raises what it would be refused with."""
        async with connect(self._engine, seconds=QUICK_SECONDS) as connection:
            verdict = (await self._judge(connection, [submission]))[0] or refuse_paused(submission)
            matched = [verdict.job_no] if verdict is not None and verdict.job_no is not None else []
            seen = await submissions.count_submissions(connection, matched) if matched else {}
        if verdict is not None and verdict.error is not None:
            raise verdict.error
        before = seen.get(verdict.job_no or 0, 0) if verdict is not None else 0
        return answer_preview(submission, verdict, before + 1)

    async def reject(self, tenant_no: int, sender: Sender, error: BreakwaterError, key: str | None) -> None:
        """Enter a well-formed submission that can't be taken into the ledger."""
        row = LedgerRow(
            job_no=None,
            kind=None,
            outcome="rejected",
            reason=error.code,
            matched_on=None,
            status_code=422,
            idempotency_key=key,
            client=sender.client,
            user_agent=sender.user_agent,
            request_id=sender.request_id,
        )

        worker_no = await self._worker_no()

        async def unit(connection: Connection) -> None:
            await submissions.insert_ledger_rows(connection, tenant_no, [row])
            counted = tally(JOBS_SUBMITTED.name, 1, kind="unknown", outcome="rejected")
            await tallies.add(connection, worker_no, [counted])

        await in_transaction(self._engine, unit, seconds=QUICK_SECONDS)

    async def run(self) -> None:
        """Answer groups until cancelled."""
        while True:
            await self._arrived.wait()
            group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
            if not self._waiting:
                self._arrived.clear()
            left = await self._answer(group) if group else []
            if left:
                await self._go_round(left)

    async def _answer(self, group: Sequence[Submission]) -> list[Submission]:
        """Answer a group; return those that must go round again. One that fails fails alone."""
        began = time.monotonic()
        try:
            await self._worker_no()  # entered into the register before any transaction needs it
            return await self._store(group)
        except BLOCKED as error:  # of a group perhaps one alone is held up
            return await self._answer_apart(group, error, _held_up())
        except GONE as error:
            self._log.warning("database_unavailable", error=f"{type(error).__name__}: {error}")
            if time.monotonic() - began > SILENT_SECONDS:  # those that waited meanwhile would wait as long again
                group = [*group, *self._waiting]
                self._waiting = []
            _fail(group, Overloaded("The database can't be reached; repeat this request.", retry_after_seconds=1))
            return []
        except RACED:
            return list(group)
        except Exception as error:  # noqa: BLE001 - answered to whoever sent it; the loop must go on
            return await self._answer_apart(group, error, error)

    async def _answer_apart(
        self, group: Sequence[Submission], failure: Exception, answer: Exception
    ) -> list[Submission]:
        """Answer each of a group that failed on its own; one that is alone gets the answer."""
        if len(group) == 1:
            _fail(group, answer)
            return []
        self._log.error("submission_group_failed", submissions=len(group), exc_info=failure)
        return await self._answer_one_by_one(group)

    async def _answer_one_by_one(self, group: Sequence[Submission]) -> list[Submission]:
        """Answer each alone, as long as it is patient: where all are held up, they aren't so one after the other."""
        left = []
        for one in group:
            if time.monotonic() < one.deadline + STORE_PATIENCE_SECONDS:
                left += await self._answer([one])
            else:
                _fail([one], _held_up())
        return left

    async def _go_round(self, left: Sequence[Submission]) -> None:
        """Let submissions whose lock is held elsewhere try again, until their patience ends."""
        now = time.monotonic()
        patient = []
        for one in left:
            if one.key is not None and now >= one.deadline:
                await self._refuse_in_flight(one)
            elif now >= one.deadline + STORE_PATIENCE_SECONDS:
                _fail([one], _held_up())
            else:
                patient.append(one)
        self._waiting = [*patient, *self._waiting]
        if patient:
            self._arrived.set()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _refuse_in_flight(self, one: Submission) -> None:
        error = KeyInFlight("The first request with this Idempotency-Key hasn't ended; repeat this one in a second.")
        verdict = Verdict("rejected", error.code, error=error)
        try:
            await in_transaction(self._engine, lambda c: self._enter(c, [(one, verdict)]), seconds=QUICK_SECONDS)
        except Exception as failure:  # noqa: BLE001 - the answer stands without its row; the loop must go on
            self._log.warning(
                "ledger_row_missing", request_id=one.sender.request_id, error=f"{type(failure).__name__}: {failure}"
            )
        _fail([one], error)

    async def _store(self, group: Sequence[Submission]) -> list[Submission]:
        async with connect(self._engine, seconds=QUICK_SECONDS) as connection:
            looked = list(zip(group, await self._judge(connection, group), strict=True))
        looked = await self._put_off(looked)
        answers, left = await in_transaction(
            self._engine, lambda c: self._store_looked(c, looked), seconds=QUICK_SECONDS
        )
        self._on_created([answer.created for _, answer in answers if isinstance(answer, Answer) and answer.created])
        for one, answer in answers:
            _settle(one, answer)
            self._log_answer(one, answer)
        return left

    async def _put_off(self, looked: Sequence[Looked]) -> list[Looked]:
        """Refuse the new ones that the backlog has no room for."""
        new = [one for one, verdict in looked if verdict is None and one.normalized.refusal is None]
        room = await self._backlog.take(self._engine, len(new)) if new else 0
        beyond = {id(one) for one in new[room:]}
        refusal = self._backlog.refusal() if beyond else None
        return [
            (one, Verdict("rejected", Overloaded.code, error=refusal) if id(one) in beyond else verdict)
            for one, verdict in looked
        ]

    async def _store_looked(
        self, connection: Connection, looked: Sequence[Looked]
    ) -> tuple[list[Answered], list[Submission]]:
        """Store what the first look decided, and what a second look, under locks, confirms as new.

        Only then is a pause held against it: whatever was taken before is joined or answered again, paused or not.
        """
        decided = [(one, verdict) for one, verdict in looked if verdict is not None and not keeps_key(one, verdict)]
        to_lock = [one for one, verdict in looked if verdict is None or keeps_key(one, verdict)]
        mine, left, now = await _lock(connection, to_lock)
        judged = [
            (one, verdict or refuse_paused(one))
            for one, verdict in zip(mine, await self._judge(connection, mine), strict=True)
        ]
        decided += [(one, verdict) for one, verdict in judged if verdict is not None]
        jobs = [(one, _new_job(one)) for one, verdict in judged if verdict is None]
        job_nos = (
            await submissions.insert_jobs(connection, looked[0][0].tenant_no, [job for _, job in jobs]) if jobs else {}
        )
        created = [(one, Verdict("created", "new", job_no=job_nos[job.id])) for one, job in jobs]
        if decided or created:
            await self._enter(connection, [*decided, *created])
        seen = await _times_seen(connection, [verdict for _, verdict in decided])
        answers: list[Answered] = [
            (one, verdict.error or answer_known(one, verdict, seen.get(verdict.job_no or 0, 1)))
            for one, verdict in decided
        ]
        answers += [(one, answer_created(one, job, job_nos[job.id], now)) for one, job in jobs]
        await self._keep(connection, answers, [verdict for _, verdict in (*decided, *created)])
        return answers, left

    async def _judge(self, connection: Connection, group: Sequence[Submission]) -> list[Verdict | None]:
        """Return what committed rows say of each submission; None for one that is new."""
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

    async def _enter(self, connection: Connection, decided: Sequence[tuple[Submission, Verdict]]) -> None:
        rows = [_ledger_row(one, verdict) for one, verdict in decided]
        await submissions.insert_ledger_rows(connection, decided[0][0].tenant_no, rows)
        worker_no = await self._worker_no()
        await tallies.add(connection, worker_no, [t for one, verdict in decided for t in _tallies(one, verdict)])

    async def _keep(self, connection: Connection, answers: Sequence[Answered], verdicts: Sequence[Verdict]) -> None:
        """Keep the first answers of keys, without their specs."""
        kept = [
            KeptAnswer(
                key=one.key,
                body_hash=body_hash(one.body),
                job_no=verdict.job_no or 0,
                status_code=answer.status_code,
                answer=_dump({**answer.body, "spec": None}),
                submitted=_dump(redacted(one.body)) if verdict.outcome == "joined" else None,
            )
            for (one, answer), verdict in zip(answers, verdicts, strict=True)
            if one.key is not None and isinstance(answer, Answer) and verdict.outcome != "replayed"
        ]
        if kept:
            await submissions.keep_answers(connection, answers[0][0].tenant_no, kept, keep_hours=self._keep_hours)

    def _log_answer(self, one: Submission, answer: Answer | BreakwaterError) -> None:
        match answer:
            case Answer(created=None):
                reason = "same_key" if answer.is_replayed else answer.body["dedup"]["reason"]
                self._log_duplicate(one, answer.body["job"]["id"], layer="submission", reason=reason, count=1)
            case Answer():
                job_id = answer.body["job"]["id"]
                self._log.info(
                    "job_submitted",
                    job_id=job_id,
                    request_id=one.sender.request_id,
                    **one.normalized.planned.told(),
                )
                if dropped := _dropped(one):
                    self._log_duplicate(one, job_id, layer="spec", reason="dropped_duplicate", count=dropped)
            case DuplicateJob():
                job: Any = answer.members["job"]
                self._log_duplicate(one, job["id"], layer="submission", reason=answer.code, count=1)

    def _log_duplicate(self, one: Submission, job_id: str, *, layer: str, reason: str, count: int) -> None:
        self._log.info(
            "duplicate_prevented",
            layer=layer,
            reason=reason,
            count=count,
            job_id=job_id,
            request_id=one.sender.request_id,
        )


async def _lock(
    connection: Connection, group: Sequence[Submission]
) -> tuple[list[Submission], list[Submission], datetime]:
    """Try the locks of a group; return those that got all of theirs, those that didn't, and the transaction's time.

    Of several with the same lock in one group the first goes first; the others go round and then find its row.
    """
    wanted = [(one, one.lock_keys()) for one in group]
    free, now = await submissions.try_locks(connection, {key for _, keys in wanted for key in keys})
    mine, left, taken = [], [], set[int]()
    for one, keys in wanted:
        if all(key in free and key not in taken for key in keys):
            taken.update(keys)
            mine.append(one)
        else:
            left.append(one)
    return mine, left, now


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


def _ledger_row(one: Submission, verdict: Verdict) -> LedgerRow:
    return LedgerRow(
        job_no=verdict.job_no,
        kind=one.normalized.spec.kind,
        outcome=verdict.outcome,
        reason=verdict.reason,
        matched_on=verdict.matched_on,
        status_code=verdict.status_code,
        idempotency_key=one.key,
        client=one.sender.client,
        user_agent=one.sender.user_agent,
        request_id=one.sender.request_id,
    )


def _tallies(one: Submission, verdict: Verdict) -> list[Tally]:
    counted = [tally(JOBS_SUBMITTED.name, 1, kind=one.normalized.spec.kind.value, outcome=verdict.outcome)]
    if verdict.outcome in {"joined", "replayed"} or isinstance(verdict.error, DuplicateJob):
        counted.append(tally(DUPLICATES_PREVENTED.name, 1, layer="submission", reason=verdict.reason))
    if verdict.outcome == "created" and (dropped := _dropped(one)):
        counted.append(tally(DUPLICATES_PREVENTED.name, dropped, layer="spec", reason="dropped_duplicate"))
    return counted


def _dropped(one: Submission) -> int:
    """Return how many duplicates of models, regions and questions the spec named."""
    return sum(note.action is Action.DROPPED_DUPLICATE for note in one.normalized.notes)


def _settle(one: Submission, answer: Answer | BreakwaterError) -> None:
    if one.answered.done():
        return
    if isinstance(answer, BreakwaterError):
        one.answered.set_exception(answer)
    else:
        one.answered.set_result(answer)


def _held_up() -> Overloaded:
    return Overloaded("What this needs is held elsewhere; repeat this request.", retry_after_seconds=1)


def _fail(group: Sequence[Submission], error: Exception) -> None:
    for one in group:
        if not one.answered.done():
            one.answered.set_exception(error)


def _dump(value: object) -> str:
    return orjson.dumps(value).decode()
