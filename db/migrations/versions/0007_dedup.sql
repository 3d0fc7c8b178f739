-- Dedup: what ended under a content, keys of every action, and the filters of lists.

-- Content is joined while a job completed a moment ago; what failed or was cancelled is named, never joined.
CREATE INDEX jobs_completed_by_hash ON jobs (tenant_no, spec_hash, finished_at) WHERE status IN ('completed', 'partial');
CREATE INDEX jobs_given_up_by_hash ON jobs (tenant_no, spec_hash, finished_at) WHERE status IN ('failed', 'cancelled');

-- Serves whole names and their beginnings, whatever the database's collation is. The tenant comes second: a statement
-- that is planned while the table is empty would else take this index for any look at a tenant's jobs.
CREATE INDEX jobs_by_name ON jobs (name text_pattern_ops, tenant_no, job_no);
DROP INDEX specs_by_name;

-- Cells that wait for a person are found through their jobs: an index on the state of cells would cost each result its
-- cheap update.
CREATE INDEX jobs_with_unknown ON jobs (tenant_no, job_no) WHERE unknown > 0;
CREATE INDEX jobs_with_failed ON jobs (tenant_no, job_no) WHERE failed > 0;

-- A key belongs to one request: `request` is its method and path. Only a submission names its job.
ALTER TABLE idempotency_keys
    ADD COLUMN request text NOT NULL DEFAULT 'POST /jobs',
    ALTER COLUMN job_no DROP NOT NULL,
    ADD CONSTRAINT submission_key_names_its_job CHECK (job_no IS NOT NULL OR request <> 'POST /jobs');

-- Since when a gate is closed, whoever closes it: a job that waits for it says so.
ALTER TABLE pools ADD COLUMN gate_closed_at timestamptz;

CREATE FUNCTION keep_gate_closed_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.gate_closed_at := CASE WHEN NEW.gate_until IS NOT NULL THEN coalesce(OLD.gate_closed_at, now()) END;
    RETURN NEW;
END
$$;

CREATE TRIGGER gate_closed_at_follows_gate BEFORE UPDATE ON pools
FOR EACH ROW WHEN (OLD.gate_until IS DISTINCT FROM NEW.gate_until) EXECUTE FUNCTION keep_gate_closed_at();
