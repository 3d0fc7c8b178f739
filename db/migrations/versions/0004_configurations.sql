-- Configurations: what is committed, under which identities jobs were accepted, and which identity answered.

-- What makes something that is called or read what it is: of a provider in a region its type and address, of a
-- connection its type, the variable of its URL and its queries, of the root of imports its path. `digest` is of
-- `content`, which may be too long for an index. The same content has the same number, whenever it is configured.
CREATE TABLE identities (
    identity_no int GENERATED ALWAYS AS IDENTITY CONSTRAINT identities_key PRIMARY KEY,
    kind text NOT NULL CONSTRAINT identity_kind_is_known CHECK (kind IN ('provider', 'connection', 'import_root')),
    name text NOT NULL,
    region text NOT NULL,
    content text NOT NULL,
    digest text NOT NULL,
    is_simulated boolean NOT NULL,
    CONSTRAINT unique_identity UNIQUE (kind, name, region, digest)
);

-- Every configuration that was ever applied; the one with the highest number is in force.
CREATE TABLE configurations (
    configuration_no int NOT NULL CONSTRAINT configurations_key PRIMARY KEY,
    content json NOT NULL,
    is_simulated boolean NOT NULL,
    identity_nos int[] NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text NOT NULL
);

CREATE VIEW current_configuration AS
SELECT c.configuration_no, c.content, c.is_simulated, c.identity_nos, c.applied_at, c.applied_by
FROM configurations AS c
ORDER BY c.configuration_no DESC
LIMIT 1;

CREATE FUNCTION current_identities() RETURNS int[] LANGUAGE sql STABLE
RETURN (SELECT c.identity_nos FROM current_configuration AS c);

CREATE FUNCTION refuse_change_of_configuration() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was configured is never changed, only followed by another configuration'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'configuration_never_changes';
END
$$;

CREATE TRIGGER configuration_never_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON configurations
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_configuration();

CREATE TRIGGER identity_never_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON identities
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_configuration();

-- `identity_nos` are what a job may be answered by, `former_identity_nos` what it might have been before it was accepted
-- anew. Both are NULL for a job that was accepted before there was a configuration, until one is applied.
ALTER TABLE jobs
    ADD COLUMN configuration_no int,
    ADD COLUMN identity_nos int[],
    ADD COLUMN former_identity_nos int[];
CREATE INDEX jobs_accepted_anew ON jobs (job_no) WHERE former_identity_nos IS NOT NULL AND finished_at IS NULL;
CREATE INDEX jobs_accepted_unconfigured ON jobs (job_no) WHERE identity_nos IS NULL AND finished_at IS NULL;

-- Who may run a batch: a worker that serves exactly this identity.
ALTER TABLE batches ADD COLUMN identity_no int;
ALTER TABLE ready ADD COLUMN identity_no int;
CREATE INDEX ready_by_identity ON ready (identity_no, turn, job_no, batch_no);

-- Which identity was really asked, by whoever asked it; NULL where nobody was, or before there was a configuration.
ALTER TABLE executions ADD COLUMN identity_no int;
ALTER TABLE attempts ADD COLUMN identity_no int;
ALTER TABLE import_batches ADD COLUMN identity_no int;

-- The version and configuration that a process serves, whether a file that it was given says the same, and what it
-- doesn't serve though it is configured.
ALTER TABLE workers
    ADD COLUMN version text,
    ADD COLUMN configuration_no int,
    ADD COLUMN config_file text CONSTRAINT worker_config_file_is_known CHECK (config_file IN ('none', 'same', 'differs')),
    ADD COLUMN not_served json NOT NULL DEFAULT '[]';

-- The virtual time of what one identity serves: batches that are held for another one don't keep it back.
DROP FUNCTION virtual_time(text, text);
CREATE FUNCTION virtual_time(of_identity int) RETURNS bigint LANGUAGE sql STABLE
RETURN (
    SELECT coalesce(min(r.turn), 0)
    FROM ready AS r
    WHERE r.identity_no = of_identity AND r.not_before <= now()
);
