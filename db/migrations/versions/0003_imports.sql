-- Imports: who coordinates one, what its record types hold, which rows a batch reads, and what was read.

-- Where the rows of a record type of a tenant's dataset lie: one number, so that every row carries four bytes of it. Its
-- key is that of whoever was planned first: under another one the same rows would come a second time.
CREATE TABLE record_sets (
    record_set_no int GENERATED ALWAYS AS IDENTITY CONSTRAINT record_sets_key PRIMARY KEY,
    tenant_no int NOT NULL CONSTRAINT record_set_belongs_to_tenant REFERENCES tenants,
    dataset text NOT NULL,
    record_type text NOT NULL,
    key text[] NOT NULL,
    CONSTRAINT unique_record_set UNIQUE (tenant_no, dataset, record_type)
);

-- The right to coordinate an import, from the first time somebody takes it: a lease, a fence and a holder, as batches
-- have them. Rows are made and their fence is raised under the job's row lock. `ready_window` batches of a wave may be
-- ready or running at once. The error is that of the last try that failed, until it is planned.
-- `away_since` is when a source was found away, if each try since found it so.
CREATE TABLE imports (
    job_no bigint NOT NULL CONSTRAINT imports_key PRIMARY KEY
        CONSTRAINT import_belongs_to_job REFERENCES jobs ON DELETE CASCADE,
    fence int NOT NULL,
    holder bigint,
    worker_no int,
    lease_until timestamptz,
    heartbeat_at timestamptz,
    attempts int NOT NULL DEFAULT 0,
    lost_leases int NOT NULL DEFAULT 0,
    away_since timestamptz,
    not_before timestamptz,
    planned_at timestamptz,
    ready_window int,
    error_code text,
    error_detail text,
    CONSTRAINT import_is_held_under_a_lease CHECK ((holder IS NULL) = (lease_until IS NULL))
) WITH (fillfactor = 50);
CREATE INDEX imports_by_lease ON imports (lease_until) WHERE holder IS NOT NULL;

-- What coordination found out about the record types of an import. Of one that is not complete batches read only a part;
-- `detail` says what a person should know, and why then.
CREATE TABLE record_types (
    job_no bigint NOT NULL CONSTRAINT record_type_belongs_to_job REFERENCES jobs ON DELETE CASCADE,
    record_type_no smallint NOT NULL,
    id text NOT NULL,
    record_set_no int NOT NULL,
    level int NOT NULL,
    rows_expected bigint NOT NULL,
    is_complete boolean NOT NULL,
    detail text,
    CONSTRAINT unique_record_type_per_job PRIMARY KEY (job_no, record_type_no),
    CONSTRAINT incomplete_record_type_says_why CHECK (is_complete OR detail IS NOT NULL)
);
CREATE INDEX record_types_by_record_set ON record_types (record_set_no, job_no);

-- Which rows a batch of an import reads, and what became of them; status, lease and fence are those of its batch. Tries
-- before a person's retry are `forgiven`, and so are those that found the source away, for a while: they don't count
-- against max_attempts. `away_since` is as that of imports.
CREATE TABLE import_batches (
    job_no bigint NOT NULL,
    batch_no int NOT NULL,
    record_type_no smallint NOT NULL,
    record_batch_no int NOT NULL,
    range json NOT NULL,
    rows_expected int NOT NULL,
    forgiven int NOT NULL DEFAULT 0,
    away_since timestamptz,
    rows_read int NOT NULL DEFAULT 0,
    rows_inserted int NOT NULL DEFAULT 0,
    rows_updated int NOT NULL DEFAULT 0,
    rows_unchanged int NOT NULL DEFAULT 0,
    rows_rejected int NOT NULL DEFAULT 0,
    error_code text,
    error_detail text,
    CONSTRAINT unique_import_batch PRIMARY KEY (job_no, batch_no),
    CONSTRAINT import_batch_counts_each_row_once CHECK (
        rows_read = rows_inserted + rows_updated + rows_unchanged + rows_rejected
        OR (error_code IS NOT NULL AND rows_inserted + rows_updated + rows_unchanged = 0 AND rows_read > rows_rejected)
    )
) WITH (fillfactor = 70);

-- The rows themselves. No foreign key per row; job_no and batch_no say who wrote a row last.
CREATE TABLE imported_records (
    record_set_no int NOT NULL,
    record_key text COLLATE "C" NOT NULL,
    payload json NOT NULL,
    job_no bigint NOT NULL,
    batch_no int NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT unique_imported_record PRIMARY KEY (record_set_no, record_key)
);

-- Rows that could not be taken; `position` counts from 0 over their whole source.
CREATE TABLE rejects (
    job_no bigint NOT NULL,
    batch_no int NOT NULL,
    position bigint NOT NULL,
    record_key text,
    code text NOT NULL,
    detail text NOT NULL,
    CONSTRAINT unique_reject PRIMARY KEY (job_no, batch_no, position)
);

-- How many batches of a wave read fewer rows than were counted: the transaction that ends the last of them may not see
-- the rows of the others. A wave of an import holds the batches from `first_batch_no` on, without a gap.
ALTER TABLE waves
    ADD COLUMN partial_batches int NOT NULL DEFAULT 0,
    ADD COLUMN first_batch_no int;

CREATE INDEX jobs_to_coordinate ON jobs (turn, job_no) WHERE kind = 'import' AND status IN ('queued', 'coordinating');

-- Jobs whose batches hold as many calls as the job may have in flight.
CREATE VIEW jobs_at_limit AS
SELECT l.job_no
FROM batches AS b
JOIN job_limits AS l USING (job_no)
WHERE b.slots > 0
GROUP BY l.job_no, l.max_concurrent
HAVING sum(b.slots) >= l.max_concurrent;

-- Whether batches belong to waves is checked as a set: a foreign key takes half the time of planning 9,625 of them. Both
-- are written under their job's row lock, which whoever deletes the job needs too.
ALTER TABLE batches DROP CONSTRAINT batch_belongs_to_wave;

CREATE FUNCTION refuse_batches_without_wave() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT
        FROM (SELECT DISTINCT job_no, wave_no FROM inserted) AS i
        LEFT JOIN waves AS w USING (job_no, wave_no)
        WHERE w.level IS NULL
    ) THEN
        RAISE EXCEPTION 'a batch of a wave that there is not'
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'batch_belongs_to_wave';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER batch_belongs_to_wave AFTER INSERT ON batches
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION refuse_batches_without_wave();

CREATE FUNCTION delete_batches_of_waves() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM batches AS b
    USING removed AS r
    WHERE b.job_no = r.job_no AND b.wave_no = r.wave_no;
    DELETE FROM import_batches AS b
    USING removed AS r
    WHERE b.job_no = r.job_no AND r.first_batch_no <= b.batch_no AND b.batch_no < r.first_batch_no + r.total_batches;
    RETURN NULL;
END
$$;

CREATE TRIGGER batches_go_with_their_waves AFTER DELETE ON waves
REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION delete_batches_of_waves();

-- An import learns how many batches it has when it is coordinated, and a retry coordinates one that never was.
DROP TRIGGER job_transition_is_legal ON jobs;
CREATE TRIGGER job_transition_is_legal BEFORE UPDATE ON jobs
FOR EACH ROW WHEN (
    OLD.job_no <> NEW.job_no OR OLD.tenant_no <> NEW.tenant_no OR OLD.id <> NEW.id
    OR (OLD.planned <> NEW.planned AND NOT (OLD.kind = 'import' AND OLD.status = 'coordinating' AND OLD.planned = 0))
    OR (OLD.status <> NEW.status AND (OLD.status || '>' || NEW.status) <> ALL (ARRAY[
        'queued>coordinating', 'queued>running', 'queued>failed', 'queued>cancelled',
        'coordinating>queued', 'coordinating>running', 'coordinating>failed', 'coordinating>cancelled',
        'running>completed', 'running>partial', 'running>failed', 'running>cancelled',
        'failed>running', 'partial>running', 'failed>queued',
        'failed>partial', 'failed>completed', 'partial>completed'
    ]))
) EXECUTE FUNCTION refuse_transition('job');

-- At most one wave of a job runs, whoever opens it.
CREATE UNIQUE INDEX unique_running_wave ON waves (job_no) WHERE status = 'running';
