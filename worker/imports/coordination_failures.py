"""Failures of coordination, and whether it is tried again. No I/O."""

import random
from dataclasses import dataclass

import orjson

from db.import_coordination import Coordination
from db.import_plans import KeyChanged
from domain.import_spec import ImportPolicy
from domain.outcome import WORKER_LOST, backoff_seconds, is_forgiven, storable, unavailable_backoff_seconds
from sources.survey import SurveyFailure

UNPLANNABLE = "unplannable_spec"
KEY_CHANGED = "key_changed"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a coordination failed. A try that `is_forgiven` (its source was unavailable) doesn't count."""

    code: str
    detail: str
    is_retryable: bool = False
    is_unavailable: bool = False
    is_forgiven: bool = False


def survey_failed(coordination: Coordination, failure: SurveyFailure, *, policy: ImportPolicy) -> Failure:
    """Return the failure of an import whose sources couldn't all be counted."""
    is_free = failure.is_unavailable and is_forgiven(coordination.unavailable_seconds)
    is_retryable = is_free or (failure.retryable and coordination.attempts + 1 < policy.max_attempts)
    return Failure(failure.code, storable(failure.detail), is_retryable, failure.is_unavailable, is_free)


def leases_lost(coordination: Coordination) -> Failure:
    """Return the failure of an import whose coordination leases were lost too often."""
    detail = f"The workers that coordinated this import were lost {coordination.lost_leases} times in a row."
    return Failure(WORKER_LOST, detail)


def key_changed(changed: KeyChanged) -> Failure:
    """Return the failure of an import whose key differs from that of its dataset."""
    kept, wanted = (orjson.dumps(key).decode() for key in (changed.kept, changed.wanted))
    return Failure(
        KEY_CHANGED,
        f"Dataset {changed.dataset} keeps record type {changed.record_type} by the key {kept}; this import's key is"
        f" {wanted}, which would bring the same rows in a second time. Import into another `dataset`, or by {kept}.",
    )


def wait_seconds(coordination: Coordination, failure: Failure) -> float:
    """Return how long to wait for the next try."""
    jitter = random.random()  # noqa: S311 - it needs no secrecy
    if failure.is_unavailable:
        return unavailable_backoff_seconds(coordination.unavailable_seconds, jitter)
    return backoff_seconds(coordination.attempts + 1, jitter)
