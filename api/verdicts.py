"""What a submission is: new, the same as one before, or in conflict with one. Decided from committed rows; no I/O."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

from api.job_links import job_json
from db.submissions import Known, SubmittedJob, Wanted, lock_key
from domain.errors import BreakwaterError, DuplicateJob, JobIdConflict, KeyReused, Overloaded, SpecRejected
from domain.fingerprint import MAX_DIFFERENCES, body_hash, differences, is_same_body
from domain.identities import wanted_by
from domain.import_reading import NormalizedImport
from domain.normalize import Normalized, normalize
from domain.notes import cut
from domain.redaction import redacted, secret_pointers
from domain.spec import OnDuplicate
from domain.status import JobStatus

if TYPE_CHECKING:
    from api.answers import Answer
    from api.pausing import InForce

NAMED_DIFFERENCES = 3
GIVES_NOTHING = frozenset({JobStatus.FAILED, JobStatus.CANCELLED})
CONFIGURATION = "configuration"
"""What a submission waits for while another configuration is being applied."""
SUBMITTING = "POST /jobs"
"""The request that keys of submissions belong to."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a request, as the ledger keeps it."""

    request_id: str
    client: str | None
    user_agent: str | None


@dataclass
class Submission:
    """A well-formed POST: its body as parsed, what it means under a configuration, and the key it came with.

    `answered` gets the answer.
    `waits_for` is which of its locks (`key`, `id`, `spec`) wasn't free at its last try, or CONFIGURATION; None if it
    could have all.
    """

    tenant_no: int
    body: Any
    normalized: Normalized | NormalizedImport
    in_force: "InForce"
    key: str | None
    sender: Sender
    deadline: float = 0.0
    waits_for: str | None = None
    answered: "asyncio.Future[Answer]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @cached_property
    def spec_text(self) -> bytes:
        """The normalized spec as JSON; stored and answered, so it is written once."""
        return orjson.dumps(self.normalized.spec.to_json())

    @cached_property
    def notes_text(self) -> bytes:
        """The notes as JSON, likewise."""
        return orjson.dumps([note.to_json() for note in self.normalized.notes])

    @property
    def goes_by_content(self) -> bool:
        """Whether a job of the same content is an answer to this."""
        spec = self.normalized.spec
        return spec.id is None and spec.on_duplicate is not OnDuplicate.CREATE

    @cached_property
    def wanted(self) -> Wanted:
        """What decides whether this is new, and what ran before."""
        return Wanted(self.key, self.normalized.spec.id, self.normalized.spec_hash)

    @cached_property
    def locks(self) -> Mapping[int, str]:
        """The advisory locks that make this submission the only one of its kind, each with what it is for."""
        spec_hash = self.wanted.spec_hash if self.goes_by_content else None
        named = (("key", self.key), ("id", self.wanted.id), ("spec", spec_hash))
        return {lock_key(kind, self.tenant_no, value): kind for kind, value in named if value is not None}

    @property
    def identity_nos(self) -> list[int]:
        """The numbers of all that may answer this, in the configuration that it was understood under."""
        wanted = wanted_by(self.normalized.spec, self.in_force.registry)
        return sorted(self.in_force.configuration.identity_nos[key] for key in wanted)

    def understand(self, now: "InForce") -> None:
        """Read the body anew, under another configuration. Raises SpecRejected."""
        self.normalized = normalize(self.body, now.registry)
        self.in_force = now
        for kept in ("spec_text", "notes_text", "wanted", "locks"):
            self.__dict__.pop(kept, None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided: new, created, joined or replayed with a job, or rejected with an error."""

    outcome: str
    reason: str
    job_no: int | None = None
    matched_on: str | None = None
    error: BreakwaterError | None = None
    job: SubmittedJob | None = None
    known: Known | None = None

    @property
    def is_new(self) -> bool:
        """Whether this would become a job."""
        return self.outcome == "new"

    @property
    def status_code(self) -> int:
        """The status of the answer."""
        match self.outcome:
            case "created":
                return 202
            case "joined":
                return 200
            case "replayed" if self.known is not None and self.known.key_status_code is not None:
                return self.known.key_status_code
            case _ if isinstance(self.error, Overloaded):
                return 503
            case _:
                return 422 if isinstance(self.error, (KeyReused, SpecRejected)) else 409


def judge(one: Submission, known: Known, jobs: Mapping[int, SubmittedJob]) -> Verdict:
    """Return what committed rows make of a submission. `jobs` holds every job that `known` names."""
    if known.key_body_hash is not None:
        return _by_key(one, known, jobs)
    if known.id_job_no is not None:
        return _by_id(one, known, jobs[known.id_job_no])
    if known.hash_job_no is not None and one.goes_by_content:
        job = jobs[known.hash_job_no]
        if job.status not in GIVES_NOTHING:  # it may have ended since it was found
            return _by_hash(one, known, job)
    return Verdict("new", "new", known=known)


def refuse_paused(one: Submission, verdict: Verdict) -> Verdict:
    """Return the verdict, or what a submission that is new meets where it names something paused."""
    refusal = one.normalized.refusal if verdict.is_new else None
    return Verdict("rejected", refusal.code, error=refusal) if refusal else verdict


def keeps_key(one: Submission, verdict: Verdict) -> bool:
    """Tell whether the verdict's answer will be kept under the submission's key, which then must be locked first."""
    return one.key is not None and verdict.outcome == "joined"


def _by_key(one: Submission, known: Known, jobs: Mapping[int, SubmittedJob]) -> Verdict:
    job = jobs.get(known.key_job_no or 0)
    if known.key_request != SUBMITTING:
        error = other_request(known.key_request)
        return Verdict("rejected", error.code, matched_on="idempotency_key", error=error)
    submitted = known.key_submitted or (job.submitted if job else None)
    if _is_first_body(known.key_body_hash or "", submitted, one.body):
        return Verdict("replayed", "same_key", known.key_job_no, "idempotency_key", job=job, known=known)
    differing = _body_differences(submitted, one.body)
    error = KeyReused(
        f"This Idempotency-Key came with another body before{_named(differing)}. Send a new key with a new request.",
        differences=differing,
    )
    return Verdict("rejected", error.code, known.key_job_no, "idempotency_key", error=error)


def _is_first_body(stored_hash: str, submitted: Any, body: Any) -> bool:
    """Tell whether this is the body that a key came with first; `submitted` is that one as stored, None once purged.

    A `b1:` hash doesn't say in which form the texts of `parameters` came, nor, in the first release, in which order
    the members of objects.
    """
    if not is_same_body(stored_hash, body):
        return False
    return not stored_hash.startswith("b1:") or not _differences(submitted, redacted(body))


def other_request(first: str | None) -> KeyReused:
    """Return the error for a key that came with another request before: another route, or another thing of it."""
    return KeyReused(
        f"This Idempotency-Key came with another request before ({cut(first or '')})."
        " Send a new key with a new request.",
        request=first,
    )


def _by_id(one: Submission, known: Known, job: SubmittedJob) -> Verdict:
    if job.spec_hash == one.normalized.spec_hash or body_hash(job.submitted) == body_hash(redacted(one.body)):
        return Verdict("joined", "same_id", job.job_no, "id", job=job, known=known)
    differing = _differences(job.spec, orjson.loads(one.spec_text))
    error = JobIdConflict(
        f"A job with this id exists and its spec differs{_named(differing)}; it is unchanged."
        " Send another id, or the same spec.",
        job=job_json(job),
        differences=differing,
    )
    return Verdict("rejected", error.code, job.job_no, "id", error=error)


def _by_hash(one: Submission, known: Known, job: SubmittedJob) -> Verdict:
    reason = "same_spec_active" if known.hash_is_active else "same_spec_recent"
    if one.normalized.spec.on_duplicate is OnDuplicate.JOIN:
        return Verdict("joined", reason, job.job_no, "spec_hash", job=job, known=known)
    error = DuplicateJob(
        "The same spec is active or was completed a moment ago. Join it, or send `on_duplicate: create` for a new job.",
        job=job_json(job),
        reason=reason,
    )
    return Verdict("rejected", error.code, job.job_no, "spec_hash", error=error)


def _named(differing: Sequence[str]) -> str:
    """Return the first places for a sentence; `differences` has more of them."""
    shown = ", ".join(pointer or "the whole body" for pointer in differing[:NAMED_DIFFERENCES])
    more = ", …" if len(differing) > NAMED_DIFFERENCES else ""
    return f" (at {shown}{more})" if shown else ""


def _body_differences(stored: Any, sent: Any) -> Sequence[str]:
    """Return where two bodies differ; where they look the same as stored, what was redacted differs."""
    if stored is None:
        return []
    return _differences(stored, redacted(sent)) or list(islice(secret_pointers(sent, ""), MAX_DIFFERENCES))


def _differences(stored: Any, sent: Any) -> Sequence[str]:
    """Return where the two differ; nothing where what was stored is purged."""
    return [] if stored is None else differences(stored, sent)
