"""Dedup decisions: a submission is new, a duplicate, or in conflict with an earlier one.

Decisions are made from committed rows that were looked up before. No I/O; `responses.py` answers them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, TypeAlias

import orjson

from db.submissions import Known, SubmittedJob
from domain.errors import BreakwaterError, DuplicateJob, JobIdConflict, KeyReused
from domain.fingerprint import MAX_DIFFERENCES, body_hash, differences, is_same_body
from domain.key_limits import Quota
from domain.notes import cut
from domain.redaction import redacted, secret_pointers
from domain.spec import OnDuplicate
from domain.status import JobStatus
from submissions.submission import Submission

NAMED_DIFFERENCES = 3
WITHOUT_RESULT = frozenset({JobStatus.FAILED, JobStatus.CANCELLED})
SUBMITTING = "POST /jobs"
"""The request that the Idempotency-Keys of submissions belong to."""


class Outcome(StrEnum):
    """The outcome of a submission; `new` until its job is stored."""

    NEW = "new"
    CREATED = "created"
    JOINED = "joined"
    REPLAYED = "replayed"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Decision:
    """An outcome, its reason, and the job that was matched.

    A rejection has an `error`, and the `job` in conflict, if any. `known` are the facts behind the decision. `quotas`
    is what is used of the quotas of the key that submitted, where they were looked at.
    """

    outcome: Outcome
    reason: str
    job_no: int | None = None
    matched_on: str | None = None
    error: BreakwaterError | None = None
    job: SubmittedJob | None = None
    known: Known | None = None
    quotas: Sequence[Quota] = ()

    @property
    def is_new(self) -> bool:
        """Whether the submission becomes a new job."""
        return self.outcome is Outcome.NEW

    @property
    def is_duplicate(self) -> bool:
        """Whether an earlier job answers the submission."""
        return self.outcome is Outcome.JOINED or self.outcome is Outcome.REPLAYED


Decided: TypeAlias = tuple[Submission, Decision]


def decide(submission: Submission, known: Known, jobs: Mapping[int, SubmittedJob]) -> Decision:
    """Decide a submission by committed rows. `jobs` holds every job named in `known`."""
    if known.key_body_hash is not None:
        return _by_key(submission, known, jobs)
    if known.id_job_no is not None:
        return _by_id(submission, known, jobs[known.id_job_no])
    if known.hash_job_no is not None and submission.is_joined_by_content:
        job = jobs[known.hash_job_no]
        if job.status not in WITHOUT_RESULT:  # it may have ended since it was found
            return _by_hash(submission, known, job)
    return Decision(Outcome.NEW, "new", known=known)


def reject(error: BreakwaterError) -> Decision:
    """Return the decision that rejects a submission with this error, independent of stored jobs."""
    return Decision(Outcome.REJECTED, error.code, error=error)


def reject_paused(submission: Submission, decision: Decision) -> Decision:
    """Return the decision; for a new submission that names something paused, return its rejection."""
    refusal = submission.normalized.refusal if decision.is_new else None
    return reject(refusal) if refusal else decision


def keeps_key(submission: Submission, decision: Decision) -> bool:
    """Return whether the response will be kept under the submission's key, which then must be locked first."""
    return submission.key is not None and decision.outcome is Outcome.JOINED


def key_of_another_request(first: str | None) -> KeyReused:
    """Return the error for a key that was used before, for another method or path."""
    return KeyReused(
        f"This Idempotency-Key came with another request before ({cut(first or '')})."
        " Send a new key with a new request.",
        request=first,
    )


def _by_key(submission: Submission, known: Known, jobs: Mapping[int, SubmittedJob]) -> Decision:
    job = jobs.get(known.key_job_no or 0)
    if known.key_request != SUBMITTING:
        error = key_of_another_request(known.key_request)
        return Decision(Outcome.REJECTED, error.code, matched_on="idempotency_key", error=error)
    submitted = known.key_submitted or (job.submitted if job else None)
    if _is_first_body(known.key_body_hash or "", submitted, submission.body):
        return Decision(Outcome.REPLAYED, "same_key", known.key_job_no, "idempotency_key", job=job, known=known)
    differing = _body_differences(submitted, submission.body)
    error = KeyReused(
        f"This Idempotency-Key came with another body before{_named(differing)}. Send a new key with a new request.",
        differences=differing,
    )
    return Decision(Outcome.REJECTED, error.code, known.key_job_no, "idempotency_key", error=error)


def _is_first_body(stored_hash: str, submitted: Any, body: Any) -> bool:
    """Return whether this is the first body under a key; `submitted` is the stored body, None once purged.

    A `b1:` hash ignores the Unicode form of texts in `parameters` and, in the first release, the order of members in
    objects.
    """
    if not is_same_body(stored_hash, body):
        return False
    return not stored_hash.startswith("b1:") or not _differences(redacted(submitted), redacted(body))


def _by_id(submission: Submission, known: Known, job: SubmittedJob) -> Decision:
    is_same_spec = job.spec_hash == submission.normalized.spec_hash
    # An earlier release may have redacted less of the stored body.
    if is_same_spec or body_hash(redacted(job.submitted)) == body_hash(submission.shown_body):
        return Decision(Outcome.JOINED, "same_id", job.job_no, "id", job=job, known=known)
    differing = _differences(job.spec, orjson.loads(submission.spec_text))
    error = JobIdConflict(
        f"A job with this id exists and its spec differs{_named(differing)}; it is unchanged."
        " Send another id, or the same spec.",
        differences=differing,
    )
    return Decision(Outcome.REJECTED, error.code, job.job_no, "id", error=error, job=job)


def _by_hash(submission: Submission, known: Known, job: SubmittedJob) -> Decision:
    reason = "same_spec_active" if known.hash_is_active else "same_spec_recent"
    if submission.normalized.spec.on_duplicate is OnDuplicate.JOIN:
        return Decision(Outcome.JOINED, reason, job.job_no, "spec_hash", job=job, known=known)
    error = DuplicateJob(
        "The same spec is active or was completed a moment ago. Join it, or send `on_duplicate: create` for a new job.",
        reason=reason,
    )
    return Decision(Outcome.REJECTED, error.code, job.job_no, "spec_hash", error=error, job=job)


def _named(differing: Sequence[str]) -> str:
    """Return the first places of the differences, for a sentence."""
    shown = ", ".join(pointer or "the whole body" for pointer in differing[:NAMED_DIFFERENCES])
    more = ", …" if len(differing) > NAMED_DIFFERENCES else ""
    return f" (at {shown}{more})" if shown else ""


def _body_differences(stored: Any, sent: Any) -> Sequence[str]:
    """Return the differences of two bodies; if there are none as stored, the redacted secrets differ."""
    if stored is None:
        return []
    return _differences(redacted(stored), redacted(sent)) or list(islice(secret_pointers(sent, ""), MAX_DIFFERENCES))


def _differences(stored: Any, sent: Any) -> Sequence[str]:
    """Return the differences; none once the stored body is purged."""
    return [] if stored is None else differences(stored, sent)
