"""Quotas of API keys and tenants that submit: a new submission that doesn't fit is rejected, where it is stored.

A job and its cells are counted while what the key and the tenant have used is locked, so the count is exact over all
processes. Joins, replays and dry runs cost nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from db import usage
from db.engine import Connection
from domain.errors import QuotaExceeded
from domain.key_limits import Holder, HolderId
from domain.quotas import Usage, quotas_of_all, refusal_of_any
from submissions.decisions import Decided, Decision, reject
from submissions.submission import Submission


async def count_on_quotas(connection: Connection, decided: Sequence[Decided]) -> list[Decided]:
    """Count new submissions on the quotas of their keys and tenants, in order; reject those that don't fit.

    Locks what these have used until the caller's transaction ends; without such quotas nothing is sent.
    """
    limited = {each for submission, decision in decided if decision.is_new for each in submission.limited_by}
    if not limited:
        return list(decided)
    used = await usage.lock_usage(connection, limited)
    spent: Counter[HolderId] = Counter()
    counted = []
    for submission, decision in decided:
        if decision.is_new and (refusal := _refusal(submission, used)):
            counted.append((submission, reject(refusal)))
        elif decision.is_new and submission.limited_by:
            for each in submission.limited_by:
                used[each.id] = used[each.id].plus(cells=submission.cells, jobs=1)
                spent[each.id] += submission.cells
            quotas = quotas_of_all(submission.limited_by, used)
            counted.append((submission, replace(decision, quotas=quotas)))
        else:
            counted.append((submission, decision))
    await usage.spend_cells(connection, spent)
    return counted


async def look_at_quotas(connection: Connection, submission: Submission, decision: Decision) -> Decision:
    """Return the decision that `count_on_quotas` would make at this moment; count nothing."""
    if not decision.is_new:
        return decision
    used = await usage.read_usage(connection, submission.limited_by)
    if refusal := _refusal(submission, used):
        return reject(refusal)
    return replace(decision, quotas=quotas_of_all(submission.limited_by, used))


async def add_active_jobs(connection: Connection, created: Iterable[tuple[Submission, int]]) -> None:
    """Let new jobs count among the active jobs of the keys that limit these."""
    key_by_job = {
        job_no: each.number
        for submission, job_no in created
        for each in submission.limited_by
        if each.of is Holder.KEY and each.limits.active_jobs is not None
    }
    if key_by_job:
        await usage.add_active_jobs(connection, key_by_job)


def _refusal(submission: Submission, used: Mapping[HolderId, Usage]) -> QuotaExceeded | None:
    return refusal_of_any(submission.limited_by, used, cells=submission.cells, jobs=1)
