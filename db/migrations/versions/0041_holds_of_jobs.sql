INSERT INTO event_types (type) VALUES ('held'), ('released');

-- What holds a job, as its timeline says: the leading worker compares it with what does, and writes the difference. `provider`
-- and `region` are empty where the hold is of another thing.
CREATE TABLE job_holds (
    job_no bigint NOT NULL,
    reason text NOT NULL,
    provider text NOT NULL,
    region text NOT NULL,
    since timestamptz NOT NULL,
    CONSTRAINT job_holds_key PRIMARY KEY (job_no, reason, provider, region)
);

SELECT protect_rows_of_tenants();
