"""Surveys of a SuiteQL query: cut along its key, or by position up to the service's cap."""

from sources.errors import KeyMissing, refuse_too_many_batches
from sources.protocol import SourceRange, Survey, max_range_rows
from sources.suiteql.cuts import Cuts
from sources.suiteql.key import KeyOrder
from sources.suiteql.query import NamedQuery
from sources.suiteql.service import OFFSET_CAP_ROWS, PAGE_ROWS


async def survey_along_key(query: NamedQuery, order: KeyOrder, rows: int, batch_size: int) -> Survey:
    """Cut the query's `rows` along the key, by reading every key once; rows without a key are a range of their own.

    Raises KeyMissing if more rows lack a key than a range may hold, and KeyUnusable if the service can't cut by it.
    """
    keyless = await query.count_without_key(order)
    most = max_range_rows(batch_size)
    if keyless > most:
        raise KeyMissing(f"{keyless} of {rows} rows have no value in the key ({order.listed}): choose another key.")
    refuse_too_many_batches(rows, batch_size)
    cuts = Cuts(batch_size)
    async for key in query.keys(order):
        order.follow(key)
        cuts.take(key)
    about = {"query": query.fingerprint, "key": list(order.columns), "numeric": list(order.numeric), "most": most}
    ranges = cuts.ranges(about)
    if keyless:
        ranges.append(SourceRange({**about, "first": cuts.rows, "without_key": True}, keyless))
    return _checked(ranges, cuts.rows + keyless, keyless=keyless, counted=(rows, await query.count()))


def survey_by_position(query: NamedQuery, rows: int, batch_size: int, *, why: str) -> Survey:
    """Cut the query's `rows` by number, incomplete beyond the cap. `why` is the reason for not using the key."""
    page = min(batch_size, PAGE_ROWS)
    step = page * (batch_size // page)
    reachable = min(rows, OFFSET_CAP_ROWS)
    ranges = [
        SourceRange(
            {"query": query.fingerprint, "first": first, "page": page, "rows": min(step, reachable - first)},
            min(step, reachable - first),
        )
        for first in range(0, reachable, step)
    ]
    detail = f"Read by position, so rows that move meanwhile may be missed: {why}"
    if reachable < rows:
        detail = (
            f"{reachable} of {rows} rows can be read: the service gives no more by position, and paging by the key "
            f"isn't possible: {why}"
        )
    return Survey(rows, ranges, is_complete=reachable == rows, detail=detail)


def _checked(ranges: list[SourceRange], found: int, *, keyless: int, counted: tuple[int, int]) -> Survey:
    """Return the survey, incomplete if fewer rows were found along the key than were counted before and after."""
    if found < min(counted):
        detail = f"{found} of {min(counted)} rows were found along the key: the service doesn't page it reliably."
        return Survey(min(counted), ranges, is_complete=False, detail=detail)
    remark = f"{keyless} of {found} rows have no value in the key." if keyless else None
    return Survey(found, ranges, detail=remark)
