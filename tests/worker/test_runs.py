"""A claimed batch under way: which cell is asked next, and what a refusal costs."""

from dataclasses import replace

import pytest

from db.batches import ClaimedBatch
from db.results import BatchReport, EndedCell, RetriedCell
from domain.normalize import normalize
from domain.outcome import MAX_FORGIVEN, OWN_REFUSALS, Completed, End, Failed
from tests.support.configurations import REGISTRY
from tests.support.jobs import job_body
from worker.inference.permits import Permits
from worker.inference.reporting import Try
from worker.inference.runs import BatchRun

RATE_LIMIT = Failed("rate_limited", "Slow down.", retryable=True, trips_breaker=True)
UNAVAILABLE = Failed("provider_unavailable", "HTTP 503", retryable=True, trips_breaker=True, may_be_own=True)
SERVER_ERROR = Failed("provider_error", "HTTP 500", retryable=True, retry_after_seconds=7.0)


def run_of(attempts: list[int], forgiven: list[int], *, is_probe: bool = False) -> BatchRun:
    cells = len(attempts)
    batch = ClaimedBatch(
        job_no=1,
        batch_no=1,
        wave_no=1,
        next_batch_no=None,
        provider="p",
        region="us-east",
        region_no=0,
        fence=1,
        holder=1,
        virtual_finish_time=0,
        waited_seconds=0.0,
        claimed_at=0.0,
        model_nos=[0] * cells,
        question_nos=list(range(cells)),
        attempts=attempts,
        forgiven=forgiven,
        key_nos=[0] * cells,
        marked=[False] * cells,
        permits=1,
        is_probe=is_probe,
    )
    spec = normalize(job_body(questions=cells, policy={"max_attempts": 3}), REGISTRY).spec
    return BatchRun(batch, spec, None, Permits(1).acquire(1))


def refused(failed: Failed, *, attempts: int, forgiven: int) -> tuple[list[RetriedCell], list[EndedCell]]:
    """What becomes of a cell with so many tries that is refused once more."""
    run = run_of([attempts], [forgiven])
    report = BatchReport(run.batch)
    run.add(report, 0, failed, Try(0, 1, "p"))
    return report.retried, report.ended


def test_the_cell_with_the_fewest_tries_is_asked_first() -> None:
    """Else the cell that is always refused would be each probe, and keep the circuit breaker open for all others."""
    run = run_of([5, 0, 1, 0], [5, 0, 1, 0])
    order = [run.next_untried() for _ in range(4)]
    assert order == [1, 3, 2, 0]


@pytest.mark.parametrize("forgiven", [0, 2, 1000])
def test_a_rate_limit_never_costs_a_try(forgiven: int) -> None:
    (cell,), ended = refused(RATE_LIMIT, attempts=forgiven + 2, forgiven=forgiven)
    assert (cell.is_forgiven, cell.wait_seconds, ended) == (True, 0.0, [])


def test_a_refusal_that_may_be_about_the_call_alone_costs_tries_in_the_end() -> None:
    (cell,), _ = refused(UNAVAILABLE, attempts=OWN_REFUSALS - 1, forgiven=OWN_REFUSALS - 1)
    assert cell.is_forgiven
    (cell,), _ = refused(UNAVAILABLE, attempts=OWN_REFUSALS, forgiven=OWN_REFUSALS)
    assert not cell.is_forgiven
    retried, (cell,) = refused(UNAVAILABLE, attempts=OWN_REFUSALS + 2, forgiven=OWN_REFUSALS)
    assert (retried, cell.status, cell.error_code) == ([], "failed", "provider_unavailable")


def test_a_cell_that_was_refused_more_often_than_can_be_counted_ends_and_says_why() -> None:
    _, (cell,) = refused(RATE_LIMIT, attempts=MAX_FORGIVEN + 2, forgiven=MAX_FORGIVEN)
    assert (cell.status, cell.error_code, cell.error_retryable) == ("failed", "rate_limited", True)
    assert cell.attempts_before + cell.tries < 2**15


def test_a_failed_call_is_repeated_no_sooner_than_the_provider_says() -> None:
    (cell,), _ = refused(SERVER_ERROR, attempts=0, forgiven=0)
    assert (cell.is_forgiven, cell.wait_seconds) == (False, 7.0)
    (cell,), _ = refused(replace(SERVER_ERROR, retry_after_seconds=None), attempts=0, forgiven=0)
    assert cell.wait_seconds < 7.0


def test_a_batch_whose_provider_refused_a_call_starts_no_more() -> None:
    run = run_of([0, 0, 0], [0, 0, 0])
    assert run.next_untried() == 0
    run.quantum.end()
    assert run.next_untried() is None


def test_a_refusal_says_whether_it_answers_a_probe() -> None:
    said = []
    for is_probe in (True, False):
        run = run_of([0], [0], is_probe=is_probe)
        report = BatchReport(run.batch)
        run.add(report, 0, RATE_LIMIT, Try(0, 1, "p"))
        said.append(report.refusal and report.refusal.by_probe)
    assert said == [True, False]


def test_of_a_batch_that_probes_only_the_first_call_decides_about_the_circuit_breaker() -> None:
    """Those after it are many at once: each refusal would make the pause twice as long, each answer close it."""
    run = run_of([0, 0, 0], [0, 0, 0], is_probe=True)
    said = []
    for index, outcome in enumerate((Completed("yes"), RATE_LIMIT, Completed("no"))):
        report = BatchReport(run.batch)
        run.add(report, index, outcome, Try(0, 1, "p"))
        said.append((report.resets_breaker, report.refusal and report.refusal.by_probe))
    assert said == [(True, None), (False, False), (False, None)]


def test_a_probe_that_got_no_answer_keeps_the_circuit_breaker_open_and_costs_a_try() -> None:
    broken = Failed("connection_reset", "It broke.", retryable=True, end=End.AMBIGUOUS)
    run = run_of([0, 0], [0, 0], is_probe=True)
    reports = [BatchReport(run.batch), BatchReport(run.batch)]
    for index, report in enumerate(reports):
        run.add(report, index, broken, Try(0, 1, "p"))
    refusal = reports[0].refusal
    assert refusal is not None
    assert (refusal.code, refusal.seconds, refusal.by_probe) == ("connection_reset", None, True)
    assert not reports[0].retried[0].is_forgiven
    assert reports[1].refusal is None
