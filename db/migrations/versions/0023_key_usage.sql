-- What a key with quotas has used; whoever counts on it locks its row. `cells` are those of `day`, which is UTC's.
CREATE TABLE key_usage (
    key_no bigint NOT NULL CONSTRAINT key_usage_key PRIMARY KEY
        CONSTRAINT usage_belongs_to_api_key REFERENCES api_keys ON DELETE CASCADE,
    day date NOT NULL,
    cells bigint NOT NULL CONSTRAINT used_cells_are_counted CHECK (cells >= 0)
);

-- The jobs that count among the active jobs of a key. The row of a job that has ended counts no more, and goes when the
-- key's jobs are counted next. Jobs needn't be locked for a reference, so there is none.
CREATE TABLE active_jobs (
    job_no bigint NOT NULL CONSTRAINT active_jobs_key PRIMARY KEY,
    key_no bigint NOT NULL CONSTRAINT active_job_belongs_to_api_key REFERENCES api_keys ON DELETE CASCADE
);
CREATE INDEX active_jobs_by_key ON active_jobs (key_no);

-- The requests that processes have taken from a key's bucket: it holds what came in since `spent_until`, a second's
-- worth at most. Not logged, so that nobody waits for the disk: after a crash every bucket is full.
CREATE UNLOGGED TABLE key_requests (
    key_no bigint NOT NULL CONSTRAINT key_requests_key PRIMARY KEY
        CONSTRAINT requests_belong_to_api_key REFERENCES api_keys ON DELETE CASCADE,
    spent_until timestamptz NOT NULL,
    taken int NOT NULL
);
