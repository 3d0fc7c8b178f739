"""Every series with its name, help and labels.

Three kinds reach `/metrics`: transactional counters commit in PostgreSQL with the work that they count; histograms
travel from every worker with its heartbeat; gauges are read at the scrape. All of them describe the whole fleet and
carry `scope="fleet"`, so that a query over several scraped APIs takes the maximum, not the sum, of them.
"""

from dataclasses import dataclass
from itertools import product

from domain.normalize import KINDS

FLEET = "fleet"


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its name without `_total`, its help text, and its labels but for `scope`.

    A counter shows 0 for the label values in `zeros` before anything happened: a rate doesn't see the increment with
    which a sample comes into being.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    zeros: tuple[tuple[str, ...], ...] = ()


JOBS_SUBMITTED = Series(
    "breakwater_jobs_submitted",
    "Submissions, by what became of them.",
    ("kind", "outcome"),
    zeros=(*product(KINDS, ("created", "joined", "replayed", "rejected")), ("unknown", "rejected")),
)
DUPLICATES_PREVENTED = Series(
    "breakwater_duplicates_prevented",
    "Duplicate work that was not done, by what stopped it.",
    ("layer", "reason"),
    zeros=(
        ("submission", "same_key"),
        ("submission", "same_id"),
        ("submission", "same_spec_active"),
        ("submission", "same_spec_recent"),
        ("submission", "duplicate_job"),
        ("spec", "dropped_duplicate"),
        ("action", "same_key"),
        *product(
            ("coordination",), ("initial_joined", "fallback_joined", "retry_joined", "manual_joined", "stale_fence")
        ),
        ("delivery", "already_coordinated"),
        ("execution", "already_terminal"),
        ("batch", "stale_lease"),
        ("fence", "stale_lease"),
        ("leadership", "stale_fence"),
    ),
)
EXECUTIONS = Series("breakwater_executions", "Cells that ended.", ("status", "provider", "region"))
EXECUTIONS_SIMULATED = Series(
    "breakwater_executions_simulated",
    "Completed cells that the built-in echo answered in place of a provider.",
    ("provider", "region"),
)
EXECUTIONS_INCOMPLETE = Series(
    "breakwater_executions_incomplete",
    "Cells that ended with an answer that was cut or filtered, or is a refusal.",
    ("provider", "region"),
)
EXECUTIONS_UNCONFIRMED_REGION = Series(
    "breakwater_executions_unconfirmed_region",
    "Completed cells whose provider didn't say which region served.",
    ("provider", "region"),
)
ANSWERS = (EXECUTIONS_SIMULATED, EXECUTIONS_INCOMPLETE, EXECUTIONS_UNCONFIRMED_REGION)
"""Series of cells that EXECUTIONS counts as well. They show 0 where EXECUTIONS shows any value."""
IMPORT_BATCHES = Series(
    "breakwater_import_batches",
    "Batches of imports that ended.",
    ("status",),
    zeros=(("completed",), ("failed",), ("cancelled",)),
)
IMPORT_ROWS = Series(
    "breakwater_import_rows",
    "Rows of import batches that ended, by what became of them.",
    ("result",),
    zeros=(("inserted",), ("updated",), ("unchanged",), ("superseded",), ("rejected",)),
)
COORDINATION = Series(
    "breakwater_coordination",
    "Triggers of coordination.",
    ("source", "outcome"),
    zeros=tuple(product(("initial", "fallback", "retry", "manual"), ("won", "joined", "fenced", "failed"))),
)
RETRIES = Series("breakwater_retries", "Attempts that failed and are repeated.", ("reason",), zeros=(("user",),))
LEASES_LOST = Series("breakwater_leases_lost", "Batches taken over after their lease ran out.", zeros=((),))
RECONCILED = Series(
    "breakwater_reconciled",
    "Owed work that was published or offered again, and sessions that were ended since they held work up.",
    ("reason",),
    zeros=(("lease_expired",), ("stranded",), ("accepted_anew",), ("unannounced",), ("stalled_session",)),
)
REPEATS = Series(
    "breakwater_transactions_repeated",
    "Transactions run again after a conflict, or with statements prepared anew.",
    ("reason",),
    zeros=(
        ("DeadlockDetectedError",),
        ("SerializationError",),
        ("InvalidCachedStatementError",),
        ("OutdatedSchemaCacheError",),
    ),
)
AUDIT_ENTRIES_DROPPED = Series(
    "breakwater_audit_entries_dropped",
    "Refusals that the audit log lacks, since more came than a process enters.",
    zeros=((),),
)
CONNECTIONS_REFUSED = Series(
    "breakwater_connections_refused",
    "Connections of clients that an API refused or cut off: before a route answered, since they read too slowly, or a"
    " download that gave way.",
    ("reason",),
    zeros=(
        ("bad_request",),
        ("header_section_too_large",),
        ("request_timeout",),
        ("silent",),
        ("too_many_connections",),
        ("room_needed",),
        ("slow_reader",),
        ("memory_needed",),
        ("download_cut_off",),
    ),
)
COUNTERS = (
    JOBS_SUBMITTED,
    DUPLICATES_PREVENTED,
    EXECUTIONS,
    *ANSWERS,
    IMPORT_BATCHES,
    IMPORT_ROWS,
    COORDINATION,
    RETRIES,
    LEASES_LOST,
    RECONCILED,
    REPEATS,
    AUDIT_ENTRIES_DROPPED,
    CONNECTIONS_REFUSED,
)

EXECUTION_DURATION = Series("breakwater_execution_duration_seconds", "From the start of an attempt to its end.")
QUEUE_WAIT = Series("breakwater_queue_wait_seconds", "From when a batch was due to its claim.")
COORDINATION_SECONDS = Series("breakwater_coordination_seconds", "From locking queued jobs to committing their plans.")
BUCKETS = {
    EXECUTION_DURATION.name: (
        0.001,
        0.005,
        0.025,
        0.1,
        0.25,
        0.5,
        1.0,
        2.5,
        5.0,
        10.0,
        30.0,
        60.0,
        120.0,
        300.0,
        600.0,
    ),
    QUEUE_WAIT.name: (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0),
    COORDINATION_SECONDS.name: (
        0.001,
        0.005,
        0.01,
        0.025,
        0.05,
        0.1,
        0.25,
        0.5,
        1.0,
        5.0,
        15.0,
        60.0,
        120.0,
        300.0,
        600.0,
    ),
}
HISTOGRAMS = (EXECUTION_DURATION, QUEUE_WAIT, COORDINATION_SECONDS)

JOBS = Series("breakwater_jobs", "Jobs that have not ended; counting stops at 100,000 of a status.", ("status",))
OLDEST_QUEUED_JOB = Series(
    "breakwater_oldest_queued_job_seconds",
    "How long the oldest queued job has waited to be planned, but for imports that wait for their source.",
)
BATCHES_DUE = Series(
    "breakwater_batches_due",
    "Batches that could be worked on; those due first are counted, up to 100,000.",
    ("provider", "region"),
)
OLDEST_DUE_BATCH = Series(
    "breakwater_oldest_due_batch_seconds",
    "How long the batch that became due first has been due.",
    ("provider", "region"),
)
BATCHES_WAITING = Series("breakwater_batches_waiting", "Batches that become due later; counting stops at 100,000.")
BATCHES_RUNNING = Series("breakwater_batches_running", "Batches that a worker holds.")
LEASES_EXPIRED = Series(
    "breakwater_leases_expired", "Running batches whose lease ran out and that nobody took over yet."
)
CELLS_RUNNING = Series("breakwater_cells_running", "Cells and import batches that live workers have in hand.")
CALLS_IN_FLIGHT = Series(
    "breakwater_calls_in_flight", "Calls that the leases in force allow their workers.", ("provider", "region")
)
CALLS_LIMIT = Series("breakwater_calls_limit", "Calls that may be in flight.", ("provider", "region"))
GATE_CLOSED = Series(
    "breakwater_gate_closed",
    "1 while a provider takes no calls in a region, until a call passes.",
    ("provider", "region"),
)
REGION_PAUSED = Series("breakwater_region_paused", "1 while a region is paused.", ("region",))
PROVIDER_PAUSED = Series("breakwater_provider_paused", "1 while a provider is paused.", ("provider",))
STUCK = Series(
    "breakwater_stuck",
    "Jobs and batches that nobody took for two reconcile periods, as GET /queue explains them; of each finding, and of"
    " batches for each provider and region, up to 50 are counted.",
    ("reason",),
)
DEAD_LETTERS = Series(
    "breakwater_dead_letters",
    "Cells that used up their attempts and were not retried since; counting stops at 10,000.",
)
QUEUE_DEPTH = Series(
    "breakwater_queue_depth",
    "Envelopes of the Redis stream that are not acknowledged; they wake workers. breakwater_jobs counts what waits.",
)
QUEUE_OLDEST_AGE = Series("breakwater_queue_oldest_age_seconds", "Age of the oldest envelope that is not acknowledged.")
STORE_AVAILABLE = Series(
    "breakwater_store_available", "1 if a store answered this scrape, else 0 and its series are left out.", ("store",)
)
BROKER_WRITABLE = Series(
    "breakwater_broker_writable",
    "1 if Redis takes every kind of write the service makes, 0 if it refuses or is unavailable.",
)
WORKERS_ALIVE = Series("breakwater_workers_alive", "Workers that gave a sign of life within the last lease.")
WORKER_HEARTBEAT_AGE = Series(
    "breakwater_worker_heartbeat_age_seconds", "Since a live worker's last heartbeat.", ("worker",)
)
LEADER_IDLE = Series("breakwater_leader_idle_seconds", "Since a worker last worked as the leader that reconciles.")
INVARIANT_VIOLATIONS = Series(
    "breakwater_invariant_violations", "Violations that the last audit found; anything but 0 is a bug.", ("invariant",)
)
BUILD_INFO = Series("breakwater_build_info", "The version that serves.", ("version",))
CONFIGURATION_NUMBER = Series("breakwater_configuration_number", "The number of the configuration in force.")
CONFIGURATION_DIFFERS = Series(
    "breakwater_configuration_differs", "Live processes that were given a file that says another thing.", ("role",)
)
CONFIGURATION_BEHIND = Series(
    "breakwater_configuration_behind", "Live processes that don't serve the configuration in force yet.", ("role",)
)
NOT_SERVED = Series(
    "breakwater_not_served", "What is configured and live processes lack a key or URL for, summed over them.", ("role",)
)
SIMULATING = Series("breakwater_simulating", "1 while the built-in echo answers in place of a provider.")
GAUGES = (
    JOBS,
    OLDEST_QUEUED_JOB,
    BATCHES_DUE,
    OLDEST_DUE_BATCH,
    BATCHES_WAITING,
    BATCHES_RUNNING,
    LEASES_EXPIRED,
    CELLS_RUNNING,
    CALLS_IN_FLIGHT,
    CALLS_LIMIT,
    GATE_CLOSED,
    REGION_PAUSED,
    PROVIDER_PAUSED,
    STUCK,
    DEAD_LETTERS,
    QUEUE_DEPTH,
    QUEUE_OLDEST_AGE,
    STORE_AVAILABLE,
    BROKER_WRITABLE,
    WORKERS_ALIVE,
    WORKER_HEARTBEAT_AGE,
    LEADER_IDLE,
    INVARIANT_VIOLATIONS,
    BUILD_INFO,
    CONFIGURATION_NUMBER,
    CONFIGURATION_DIFFERS,
    CONFIGURATION_BEHIND,
    NOT_SERVED,
    SIMULATING,
)
