"""Quotas of the API keys that submit: a new submission that doesn't fit is rejected, in the transaction that stores it.

A job and its cells are counted while what the key has used is locked, so the count is exact over all processes. Joins,
replays and dry runs cost nothing.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from db import key_usage
from db.engine import Connection
from domain.errors import QuotaExceeded
from domain.key_limits import LimitedKey
from domain.quotas import Usage, quotas_of, refusal_of
from submissions.decisions import Decided, Decision, reject
from submissions.submission import Submission


async def count_on_quotas(connection: Connection, decided: Sequence[Decided]) -> list[Decided]:
    """Count new submissions on the quotas of their keys, in order; reject those that don't fit.

    Locks what the keys have used until the caller's transaction ends; without such keys nothing is sent.
    """
    keys = {each.limited_by for each, decision in decided if decision.is_new and each.limited_by is not None}
    if not keys:
        return list(decided)
    usage_by_key = await key_usage.lock_usage(connection, keys)
    spent: Counter[int] = Counter()
    counted = []
    for submission, decision in decided:
        key = submission.limited_by if decision.is_new else None
        if key is None:
            counted.append((submission, decision))
        elif refusal := _refusal(key, submission, usage_by_key[key.key_no]):
            counted.append((submission, reject(refusal)))
        else:
            usage = usage_by_key[key.key_no].plus(cells=submission.cells, jobs=1)
            counted.append((submission, replace(decision, quotas=quotas_of(key.limits, usage))))
            usage_by_key[key.key_no] = usage
            spent[key.key_no] += submission.cells
    if spent.total():
        await key_usage.spend_cells(connection, spent)
    return counted


async def look_at_quotas(connection: Connection, submission: Submission, decision: Decision) -> Decision:
    """Return the decision that `count_on_quotas` would make at this moment; count nothing."""
    key = submission.limited_by if decision.is_new else None
    if key is None:
        return decision
    usage = await key_usage.read_usage(connection, key)
    if refusal := _refusal(key, submission, usage):
        return reject(refusal)
    return replace(decision, quotas=quotas_of(key.limits, usage))


async def add_active_jobs(connection: Connection, created: Iterable[tuple[Submission, int]]) -> None:
    """Let new jobs count among the active jobs of the keys that limit these."""
    key_by_job = {
        job_no: submission.limited_by.key_no
        for submission, job_no in created
        if submission.limited_by is not None and submission.limited_by.limits.active_jobs is not None
    }
    if key_by_job:
        await key_usage.add_active_jobs(connection, key_by_job)


def _refusal(key: LimitedKey, submission: Submission, usage: Usage) -> QuotaExceeded | None:
    return refusal_of(key.limits, usage, cells=submission.cells, jobs=1)
