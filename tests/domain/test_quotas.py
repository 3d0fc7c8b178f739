"""Quotas: what fits exactly fits, one more doesn't, and the refusal says how far it is."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.key_limits import KeyLimits
from domain.quotas import Usage, quotas_of, refusal_of

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
MIDNIGHT = NOON + timedelta(hours=12)


def used(cells: int = 0, active_jobs: int = 0) -> Usage:
    return Usage(cells, active_jobs, MIDNIGHT, NOON)


@given(limit=st.integers(1, 100), cells=st.integers(0, 120), wanted=st.integers(0, 120))
def test_cells_fit_as_long_as_their_sum_is_within_the_limit(limit: int, cells: int, wanted: int) -> None:
    refusal = refusal_of(KeyLimits(cells_per_day=limit), used(cells=cells), cells=wanted, jobs=1)
    assert (refusal is None) == (wanted == 0 or cells + wanted <= limit)


@given(limit=st.integers(1, 20), active=st.integers(0, 25))
def test_a_job_fits_as_long_as_fewer_than_the_limit_are_active(limit: int, active: int) -> None:
    refusal = refusal_of(KeyLimits(active_jobs=limit), used(active_jobs=active), cells=10**9, jobs=1)
    assert (refusal is None) == (active < limit)


def test_a_key_without_these_limits_is_refused_nothing() -> None:
    limits = KeyLimits(requests_per_second=1)
    assert refusal_of(limits, used(cells=10**9, active_jobs=10**9), cells=10**9, jobs=1) is None
    assert list(quotas_of(limits, used())) == []


def test_a_refusal_says_what_is_used_and_when_it_is_free_again() -> None:
    refusal = refusal_of(KeyLimits(cells_per_day=10), used(cells=8), cells=3, jobs=1)
    assert refusal is not None
    wanted = {"quota": "cells_per_day", "limit": 10, "used": 8, "requested": 3, "resets_at": "2026-12-01T00:00:00Z"}
    assert refusal.members == wanted
    assert 43_200 < refusal.retry_after_seconds <= 43_201


@pytest.mark.parametrize(("wanted", "remedy"), [(10, "next day"), (11, "smaller")])
def test_the_remedy_of_a_job_that_never_fits_is_another_one(wanted: int, remedy: str) -> None:
    refusal = refusal_of(KeyLimits(cells_per_day=10), used(cells=8), cells=wanted, jobs=1)
    assert refusal is not None
    assert remedy in refusal.detail


def test_what_is_left_is_never_below_zero() -> None:
    jobs, cells = quotas_of(KeyLimits(active_jobs=1, cells_per_day=5), used(cells=7, active_jobs=2))
    assert (jobs.remaining, jobs.reset_seconds) == (0, None)
    assert (cells.remaining, cells.reset_seconds) == (0, 43_200)
