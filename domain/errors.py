"""The errors a caller can cause, as one tree; each has a stable `code` and a remedy.

BreakwaterError
├── SpecRejected          a well-formed spec that can't be taken, with one FieldError per reason
├── ParametersRejected    parameters, or members of an action's body, that can't be taken, with one error each
├── Conflict              the request contradicts the stored state
│   ├── JobIdConflict         the id exists with another spec
│   ├── DuplicateJob          `on_duplicate: reject` and the same spec is active or completed recently
│   ├── KeyInFlight           the first request with this Idempotency-Key hasn't ended
│   ├── SubmissionInFlight    another submission with this id or content hasn't ended
│   ├── JobCancelled          nothing of a cancelled job runs again
│   ├── ImportSuperseded      a newer import of the same record type completed
│   ├── DatasetChanging       another import loads the same record type now
│   ├── NameTaken             there is a tenant with this name
│   └── ExecutionNotUnknown   only an execution with an ambiguous end can be resolved, and only once
├── FilterMissing         an action over a filter came without one
├── KeyReused             the Idempotency-Key came with another body before
├── NotFound              no such thing for this tenant
├── Unauthenticated       the request has no valid API key
├── ScopeMissing          its key may not do this
├── CsrfTokenRequired     a session's request that changes something lacks the token of its pages
├── LimitReached          a limit of its key stands against it
│   ├── RateLimited           too many requests in a second
│   └── QuotaExceeded         too many active jobs, or cells in a day
└── Overloaded            the backlog is full, or a store is unavailable: come back later
    └── RolesChanged          PostgreSQL no longer keeps tenants apart as it should
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from domain.key_limits import Quota

ECHO_LIMIT = 100
"""Characters of a name, id or allowed value that an error may echo."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One reason against one place in the submitted body.

    `pointer` is an RFC 6901 JSON pointer into the body as it was submitted. `extra` holds members such as
    `allowed`, `move_to` or `nearest` that help to mend it; never a submitted value other than names and ids.
    """

    pointer: str
    code: str
    detail: str
    extra: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return the member of `errors` that stands in the problem document."""
        return {"pointer": self.pointer, "code": self.code, "detail": self.detail, **self.extra}


@dataclass(frozen=True, slots=True)
class ParameterError:
    """One reason against one query, path or header parameter; `extra` as in FieldError."""

    parameter: str
    code: str
    detail: str
    extra: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return the member of `errors` that stands in the problem document."""
        return {"pointer": None, "parameter": self.parameter, "code": self.code, "detail": self.detail, **self.extra}


def shared_code(errors: Sequence[FieldError | ParameterError]) -> str | None:
    """Return the code that all of these have, None if there are several."""
    codes = {error.code for error in errors}
    return codes.pop() if len(codes) == 1 else None


class BreakwaterError(Exception):
    """An error that the caller can fix."""

    code = "error"

    def __init__(self, detail: str, **members: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members = members


class SpecRejected(BreakwaterError):
    """The body is well-formed but can't become a job; if the reasons share a code, it is the error's code."""

    code = "spec_rejected"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__(errors[0].detail if len(errors) == 1 else f"The spec has {len(errors)} errors.")
        self.errors = tuple(errors)
        self.code = shared_code(errors) or self.code


class ParametersRejected(BreakwaterError):
    """A parameter of the request, or a member of an action's body, can't be taken.

    If the reasons share a code, it is the error's code.
    """

    code = "invalid_parameters"

    def __init__(self, errors: Sequence[FieldError | ParameterError]) -> None:
        super().__init__(errors[0].detail if len(errors) == 1 else f"The request has {len(errors)} errors.")
        self.errors = tuple(errors)
        self.code = shared_code(errors) or self.code


class Conflict(BreakwaterError):
    """The request contradicts the stored state; nothing was changed."""

    code = "conflict"


class JobIdConflict(Conflict):
    """A job with this id exists and its spec differs; the stored job is untouched."""

    code = "job_id_conflict"


class DuplicateJob(Conflict):
    """The same spec is active or was completed a moment ago, and the spec says `on_duplicate: reject`."""

    code = "duplicate_job"


class KeyInFlight(Conflict):
    """The first request with this Idempotency-Key is still in flight; repeat this one in a second."""

    code = "idempotency_key_in_flight"


class SubmissionInFlight(Conflict):
    """Another submission with the same id or content is still in flight; repeat this one in a second."""

    code = "submission_in_flight"


class JobCancelled(Conflict):
    """The job was cancelled; submit it again to have it run."""

    code = "job_cancelled"


class KindNotServed(Conflict):
    """Another release brought the job's kind; send the request to a process of that release."""

    code = "kind_not_served"


class ImportSuperseded(Conflict):
    """A newer import of the same record type completed, so the rows still to be written are out of date."""

    code = "superseded"


class DatasetChanging(Conflict):
    """Another import is loading the same record type; repeat this once that has ended."""

    code = "dataset_changing"


class ExecutionNotUnknown(Conflict):
    """The execution isn't `unknown`, or isn't any more: there is nothing to resolve."""

    code = "execution_not_unknown"


class NameTaken(Conflict):
    """There is a tenant with this name."""

    code = "name_taken"


class KeyReused(BreakwaterError):
    """This Idempotency-Key came with another body before; take a new key for a new request."""

    code = "idempotency_key_reused"


class FilterMissing(BreakwaterError):
    """An action over a filter names at least one of the filter's parameters: without any it would take everything."""

    code = "filter_missing"


class Unauthenticated(BreakwaterError):
    """The request has no API key, or one that isn't valid."""

    code = "unauthenticated"


class ScopeMissing(BreakwaterError):
    """The request's key hasn't the scope that the route needs; the member `scope` names it."""

    code = "scope_missing"


class CsrfTokenRequired(BreakwaterError):
    """The request came with a session's cookie alone, and another site's page may have sent it."""

    code = "csrf_token_required"


class LimitReached(BreakwaterError):
    """A limit of the API key or tenant stands against the request; repeat it after `retry_after_seconds`."""

    code = "limit_reached"

    def __init__(self, detail: str, quota: Quota, *, retry_after_seconds: int, **members: object) -> None:
        resets_at = None if quota.resets_at is None else quota.resets_at.isoformat().replace("+00:00", "Z")
        named = {"quota": quota.label, "limit": quota.limit, "used": quota.used, "resets_at": resets_at}
        super().__init__(detail, **named, **members)
        self.quota = quota
        self.retry_after_seconds = retry_after_seconds


class RateLimited(LimitReached):
    """The requests of a key or a tenant came faster than it may send them."""

    code = "rate_limited"


class QuotaExceeded(LimitReached):
    """A key or tenant may not have so many active jobs, or create so many cells in a day; `quota` says which."""

    code = "quota_exceeded"


class NotFound(BreakwaterError):
    """There is no such thing."""

    code = "not_found"


class Overloaded(BreakwaterError):
    """The service can't take this now; repeat it after `retry_after_seconds`."""

    code = "overloaded"

    def __init__(self, detail: str, *, retry_after_seconds: int) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class RolesChanged(Overloaded):
    """Somebody changed the database's roles or rights, so a request might see another tenant's rows."""

    code = "roles_changed"

    def __init__(self, *, retry_after_seconds: int) -> None:
        super().__init__(
            "The database no longer keeps tenants apart as it should, so nothing is served. An operator finds in the "
            "log of the API what to mend.",
            retry_after_seconds=retry_after_seconds,
        )
