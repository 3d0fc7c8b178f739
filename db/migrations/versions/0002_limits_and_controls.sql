-- Limits, gates, pauses, start marks, dead letters, and what a person's retry or resolve leaves behind.

-- A provider in a region: how many calls it may be asked at once, and until when it asked for none. A claim that counts
-- calls locks the row first. NULL as limit: only the workers bound it. A gate stays (gate_code) until a call passes it.
CREATE TABLE pools (
    provider text NOT NULL,
    region text NOT NULL,
    max_concurrent int CONSTRAINT pool_limit_is_positive CHECK (max_concurrent > 0),
    gate_until timestamptz,
    gate_code text,
    gate_detail text,
    gate_times int NOT NULL DEFAULT 0,
    CONSTRAINT pools_key PRIMARY KEY (provider, region),
    CONSTRAINT pool_gate_says_why CHECK ((gate_until IS NULL) = (gate_code IS NULL) AND (gate_code IS NULL) = (gate_times = 0))
) WITH (fillfactor = 50);

-- Which regions and providers are paused. `configured` is what the configuration said last: it counts again once it
-- changes, so that neither a restart nor an edit undoes the other silently.
CREATE TABLE pauses (
    kind text NOT NULL CONSTRAINT pause_kind_is_known CHECK (kind IN ('region', 'provider')),
    name text NOT NULL,
    is_paused boolean NOT NULL,
    configured boolean NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL,
    reason text,
    CONSTRAINT pauses_key PRIMARY KEY (kind, name)
);

-- What people did that is no job's own event: pauses and resumes, with who and why.
CREATE TABLE operations (
    operation_no bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT operations_key PRIMARY KEY,
    action text NOT NULL CONSTRAINT operation_action_is_known CHECK (action IN ('pause', 'resume')),
    kind text NOT NULL,
    name text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    by text NOT NULL,
    reason text
);

-- Jobs whose policy bounds their calls in flight; a claim that counts them locks the row first.
CREATE TABLE job_limits (
    job_no bigint NOT NULL CONSTRAINT job_limits_key PRIMARY KEY
        CONSTRAINT job_limit_belongs_to_job REFERENCES jobs ON DELETE CASCADE,
    max_concurrent int NOT NULL CONSTRAINT job_limit_is_positive CHECK (max_concurrent > 0)
);

-- `slots` is how many calls the holder may have in flight, `is_probe` whether they try a gate; `overdue_at` when a batch
-- that never began fails instead.
ALTER TABLE batches
    ADD COLUMN slots int NOT NULL DEFAULT 0,
    ADD COLUMN is_probe boolean NOT NULL DEFAULT false,
    ADD COLUMN overdue_at timestamptz,
    ADD CONSTRAINT batch_slots_are_of_a_lease CHECK (slots >= 0 AND (slots = 0 OR status = 'running'));
CREATE INDEX batches_with_slots ON batches (provider, region) WHERE slots > 0;
CREATE INDEX batches_of_a_job_with_slots ON batches (job_no) WHERE slots > 0;
CREATE INDEX batches_by_overdue ON batches (overdue_at) WHERE overdue_at IS NOT NULL;

-- `key_no` numbers the Idempotency-Keys that a cell's calls carried: a new one after each definitive answer and each
-- retry by a person. `forgiven` tries don't count against max_attempts: those that a closed gate answered, and those
-- before a person's retry. `not_before` is when a failed try may be repeated.
ALTER TABLE executions
    ADD COLUMN key_no smallint NOT NULL DEFAULT 0,
    ADD COLUMN forgiven smallint NOT NULL DEFAULT 0,
    ADD COLUMN not_before timestamptz,
    ADD COLUMN usage json,
    ADD CONSTRAINT execution_forgives_tries_it_had CHECK (forgiven BETWEEN 0 AND attempts);

ALTER TABLE attempts
    ADD COLUMN status text NOT NULL DEFAULT 'failed'
        CONSTRAINT attempt_status_is_known CHECK (status IN ('failed', 'unknown')),
    ADD COLUMN error_retryable boolean NOT NULL DEFAULT true,
    ADD COLUMN region_served text;

-- Cells whose tries were used up. The open one of a cell goes with its retry, whichever way that came.
CREATE TABLE dead_letters (
    dead_letter_no bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT dead_letters_key PRIMARY KEY,
    tenant_no int NOT NULL,
    job_no bigint NOT NULL CONSTRAINT dead_letter_belongs_to_job REFERENCES jobs ON DELETE CASCADE,
    region_no smallint NOT NULL,
    model_no smallint NOT NULL,
    question_no smallint NOT NULL,
    attempts smallint NOT NULL,
    error_code text NOT NULL,
    error_detail text NOT NULL,
    died_at timestamptz NOT NULL DEFAULT now(),
    replayed_at timestamptz,
    replayed_by text,
    CONSTRAINT dead_letter_says_who_replayed CHECK ((replayed_at IS NULL) = (replayed_by IS NULL))
);
CREATE UNIQUE INDEX unique_open_dead_letter_per_execution ON dead_letters (job_no, region_no, model_no, question_no)
WHERE replayed_at IS NULL;
CREATE INDEX dead_letters_open ON dead_letters (tenant_no, dead_letter_no) WHERE replayed_at IS NULL;

-- A resolved cell may lift its job's verdict.
DROP TRIGGER job_transition_is_legal ON jobs;
CREATE TRIGGER job_transition_is_legal BEFORE UPDATE ON jobs
FOR EACH ROW WHEN (
    OLD.job_no <> NEW.job_no OR OLD.tenant_no <> NEW.tenant_no OR OLD.id <> NEW.id OR OLD.planned <> NEW.planned
    OR (OLD.status <> NEW.status AND (OLD.status || '>' || NEW.status) <> ALL (ARRAY[
        'queued>coordinating', 'queued>running', 'queued>failed', 'queued>cancelled',
        'coordinating>queued', 'coordinating>running', 'coordinating>failed', 'coordinating>cancelled',
        'running>completed', 'running>partial', 'running>failed', 'running>cancelled',
        'failed>running', 'partial>running',
        'failed>partial', 'failed>completed', 'partial>completed'
    ]))
) EXECUTE FUNCTION refuse_transition('job');
