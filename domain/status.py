"""The states of jobs, waves, batches and executions and the transitions between them: the only state table.

The database refuses any other transition (migrations); a test compares the two.
"""

from enum import StrEnum


class JobStatus(StrEnum):
    """A job waits (`queued`), is being planned (`coordinating`, imports only), runs, and ends once."""

    QUEUED = "queued"
    COORDINATING = "coordinating"
    RUNNING = "running"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


class WaveStatus(StrEnum):
    """A wave waits for the wave before it, runs, and ends."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


class BatchStatus(StrEnum):
    """A batch waits for a worker, is leased to one, and ends once nothing in it is open."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ExecutionStatus(StrEnum):
    """A cell is planned, may be marked as started, and ends at most once."""

    PLANNED = "planned"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


JOB_TRANSITIONS = frozenset(
    {
        ("queued", "coordinating"),  # an import's COUNT begins
        ("queued", "running"),  # inference is planned in one transaction
        ("queued", "failed"),  # it can't be planned
        ("queued", "cancelled"),
        ("coordinating", "queued"),  # the coordinator lost its lease before anything was written
        ("coordinating", "running"),
        ("coordinating", "failed"),
        ("coordinating", "cancelled"),
        ("running", "completed"),
        ("running", "partial"),
        ("running", "failed"),
        ("running", "cancelled"),
        ("failed", "running"),  # a user's retry
        ("partial", "running"),  # a user's retry
        ("failed", "queued"),  # a user's retry of an import that could not be coordinated
        ("failed", "partial"),  # a person resolved unknown cells
        ("failed", "completed"),
        ("partial", "completed"),
    }
)
WAVE_TRANSITIONS = frozenset(
    {
        ("pending", "running"),
        ("pending", "cancelled"),
        ("running", "completed"),
        ("running", "partial"),
        ("running", "failed"),
        ("running", "cancelled"),
        ("completed", "pending"),  # a user's retry: failed cells may sit in a completed batch
        ("partial", "pending"),
        ("failed", "pending"),
    }
)
BATCH_TRANSITIONS = frozenset(
    {
        ("pending", "running"),  # claimed
        ("running", "pending"),  # released, or a retry is due later
        ("pending", "cancelled"),
        ("pending", "failed"),  # its leases were lost too often
        ("running", "completed"),
        ("running", "failed"),
        ("running", "cancelled"),
        ("completed", "pending"),  # a user's retry
        ("failed", "pending"),  # a user's retry
    }
)
EXECUTION_TRANSITIONS = frozenset(
    {
        ("planned", "running"),  # a start mark (`delivery: at_most_once`)
        ("planned", "completed"),
        ("planned", "failed"),
        ("planned", "cancelled"),
        ("running", "planned"),  # released before its call
        ("running", "completed"),
        ("running", "failed"),
        ("running", "cancelled"),
        ("running", "unknown"),  # an ambiguous end of a call that must not be repeated
        ("failed", "planned"),  # a user's retry
        ("unknown", "completed"),  # a person resolved it
        ("unknown", "failed"),  # a person resolved it
    }
)

TERMINAL_JOB_STATUSES = frozenset({"completed", "partial", "failed", "cancelled"})
TERMINAL_EXECUTION_STATUSES = frozenset({"completed", "failed", "cancelled", "unknown"})
