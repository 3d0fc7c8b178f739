"""A dedup decision follows from the facts that were looked up: no store, no clock, no response."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from configuration.content import Configuration
from configuration.in_force import InForce
from db.submissions import Known, SubmittedJob
from domain.errors import Overloaded
from domain.fingerprint import body_hash
from domain.tenant_names import DEFAULT_TENANT
from submissions.decisions import SUBMITTING, Decision, Outcome, decide, keeps_key, reject, reject_paused
from submissions.responses import rejection_of, status_code_of
from submissions.submission import Sender, Submission, read_submission
from tests.support.configurations import IDENTITY_NOS, REGISTRY, SIMULATED
from tests.support.service import Json, unique

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IN_FORCE = InForce(Configuration(1, SIMULATED, NOW, "a test", IDENTITY_NOS), REGISTRY)
JOB_NO = 5
BODY = unique()


def submission(key: str | None = None, **changes: Any) -> Submission:
    return read_submission(
        BODY | changes, IN_FORCE, tenant=DEFAULT_TENANT, tenant_no=1, key=key, sender=Sender("r", None, None)
    )


def known(**facts: Any) -> Known:
    """Nothing was found but these facts."""
    absent: Json = dict.fromkeys(Known.__dataclass_fields__)
    return Known(**{**absent, "hash_is_active": False, **facts})


def job(status: str = "running", of: Submission | None = None) -> dict[int, SubmittedJob]:
    """The job that the facts name; of another spec unless one is given."""
    spec = of.normalized.spec.to_json() if of else {"name": "another"}
    spec_hash = of.normalized.spec_hash if of else "h1:another"
    submitted = of.body if of else {"name": "another"}
    return {JOB_NO: SubmittedJob(JOB_NO, "j", "inference", status, NOW, spec_hash, submitted, spec)}


def outcome(decision: Decision) -> tuple[str, str, str | None]:
    return decision.outcome, decision.reason, decision.matched_on


def test_a_submission_without_an_earlier_match_is_new() -> None:
    assert outcome(decide(submission(), known(), {})) == ("new", "new", None)


@pytest.mark.parametrize(("is_active", "reason"), [(True, "same_spec_active"), (False, "same_spec_recent")])
def test_a_job_of_the_same_content_is_joined(*, is_active: bool, reason: str) -> None:
    facts = known(hash_job_no=JOB_NO, hash_is_active=is_active)
    decision = decide(submission(), facts, job(of=submission()))
    assert outcome(decision) == ("joined", reason, "spec_hash")
    assert (decision.job_no, status_code_of(decision)) == (JOB_NO, 200)


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_job_that_ended_without_a_result_since_it_was_found_is_not_joined(status: str) -> None:
    assert decide(submission(), known(hash_job_no=JOB_NO), job(status, submission())).is_new


def test_content_counts_only_where_the_spec_asks_for_it() -> None:
    facts = known(hash_job_no=JOB_NO, hash_is_active=True)
    assert decide(submission(on_duplicate="create"), facts, job(of=submission())).is_new
    assert decide(submission(id="mine"), facts, job(of=submission())).is_new
    rejected = decide(submission(on_duplicate="reject"), facts, job(of=submission()))
    assert outcome(rejected) == ("rejected", "duplicate_job", "spec_hash")


def test_an_id_is_joined_by_the_same_spec_and_rejects_another() -> None:
    facts = known(id_job_no=JOB_NO)
    assert outcome(decide(submission(id="j"), facts, job("failed", submission(id="j")))) == ("joined", "same_id", "id")
    decision = decide(submission(id="j"), facts, job())
    assert outcome(decision) == ("rejected", "job_id_conflict", "id")
    assert decision.error is not None
    assert decision.error.members.keys() == {"differences"}


def test_a_key_goes_before_id_and_content() -> None:
    facts: Json = {"key_request": SUBMITTING, "key_job_no": JOB_NO, "key_status_code": 202, "id_job_no": JOB_NO}
    first = submission("k", id="j")
    replayed = decide(first, known(**facts, key_body_hash=body_hash(first.body)), job(of=first))
    assert outcome(replayed) == ("replayed", "same_key", "idempotency_key")
    assert status_code_of(replayed) == 202
    reused = decide(submission("k"), known(**facts, key_body_hash=body_hash(first.body)), job(of=first))
    assert outcome(reused) == ("rejected", "idempotency_key_reused", "idempotency_key")
    elsewhere = known(key_request="POST /jobs/j/cancel", key_body_hash=body_hash(first.body))
    assert decide(first, elsewhere, {}).error is not None


def test_a_pause_rejects_only_new_submissions() -> None:
    registry = replace(REGISTRY, paused_regions=frozenset(REGISTRY.allowed_regions))
    paused = InForce(IN_FORCE.configuration, registry)
    held = read_submission(BODY, paused, tenant=DEFAULT_TENANT, tenant_no=1, key=None, sender=Sender("r", None, None))
    assert reject_paused(held, decide(held, known(), {})).reason == "region_paused"
    joined = decide(held, known(hash_job_no=JOB_NO, hash_is_active=True), job(of=held))
    assert reject_paused(held, joined) is joined


def test_a_join_under_a_key_is_kept_and_so_needs_its_lock() -> None:
    facts = known(hash_job_no=JOB_NO, hash_is_active=True)
    for key, is_kept in (("k", True), (None, False)):
        assert keeps_key(submission(key), decide(submission(key), facts, job(of=submission()))) is is_kept


def test_only_the_response_shows_the_job_that_stands_in_the_way() -> None:
    decision = decide(submission(id="j"), known(id_job_no=JOB_NO), job())
    error = rejection_of(submission(id="j"), decision)
    assert error is not None
    shown: Any = error.members["job"]
    assert (shown["id"], shown["links"]["self"], list(error.members)) == ("j", "/jobs/j", ["job", "differences"])


def test_each_rejection_has_its_status() -> None:
    spec_conflict = decide(submission(id="j"), known(id_job_no=JOB_NO), job())
    assert status_code_of(spec_conflict) == 409
    assert status_code_of(reject(Overloaded("Later.", retry_after_seconds=1))) == 503
    assert status_code_of(Decision(Outcome.CREATED, "new")) == 202
