-- Imports of one record set have an order: each gets the next generation with its plan, one import at a time, so the order
-- is that in which their sources were pinned. Imports from before this migration are numbered in the order of their plans, so that a
-- retry of one finds out about newer ones; rows from before have generation 0.

-- `generation` was given last; `completed_generation` is the highest of an import that completed. Below
-- `open_generation` no import writes any more, so nobody has to look there.
ALTER TABLE record_sets
    ADD COLUMN generation int NOT NULL DEFAULT 0,
    ADD COLUMN completed_generation int NOT NULL DEFAULT 0,
    ADD COLUMN open_generation int NOT NULL DEFAULT 0,
    ADD CONSTRAINT record_set_is_numbered_upwards
        CHECK (completed_generation <= generation AND open_generation <= generation);

ALTER TABLE record_types ADD COLUMN generation int NOT NULL DEFAULT 0;

UPDATE record_types AS t
SET generation = n.generation
FROM (
    SELECT
        r.job_no, r.record_type_no,
        row_number() OVER (PARTITION BY r.record_set_no ORDER BY i.planned_at, r.job_no) AS generation
    FROM record_types AS r
    JOIN imports AS i USING (job_no)
) AS n
WHERE t.job_no = n.job_no AND t.record_type_no = n.record_type_no;

UPDATE record_sets AS s
SET generation = n.generation, completed_generation = n.completed_generation
FROM (
    SELECT
        r.record_set_no, max(r.generation) AS generation,
        coalesce(max(r.generation) FILTER (WHERE j.status IN ('completed', 'partial')), 0) AS completed_generation
    FROM record_types AS r
    JOIN jobs AS j USING (job_no)
    GROUP BY r.record_set_no
) AS n
WHERE s.record_set_no = n.record_set_no;

DROP INDEX record_types_by_record_set;
CREATE INDEX record_types_by_generation ON record_types (record_set_no, generation, job_no);

-- The newest import that wrote a row or found it as it should be. Its job_no and batch_no still say who wrote it.
ALTER TABLE imported_records ADD COLUMN generation int NOT NULL DEFAULT 0;

-- Rows that were not written since a newer import had written the record. Older rows of this table hold by the check before.
ALTER TABLE import_batches
    ADD COLUMN rows_superseded int NOT NULL DEFAULT 0,
    DROP CONSTRAINT import_batch_counts_each_row_once,
    ADD CONSTRAINT import_batch_counts_each_row_once CHECK (
        rows_read = rows_inserted + rows_updated + rows_unchanged + rows_superseded + rows_rejected
        OR (
            error_code IS NOT NULL AND rows_inserted + rows_updated + rows_unchanged + rows_superseded = 0
            AND rows_read > rows_rejected
        )
    ) NOT VALID;

-- A queued import waits for another one of the same record type: until that is planned, or `waits_for_end` of it.
ALTER TABLE imports
    ADD COLUMN waiting_since timestamptz,
    ADD COLUMN waits_for_job_no bigint,
    ADD COLUMN waits_for_type text,
    ADD COLUMN waits_for_end boolean,
    ADD CONSTRAINT waiting_import_names_what_it_waits_for CHECK (
        num_nulls(waiting_since, waits_for_job_no, waits_for_type, waits_for_end) IN (0, 4)
    );
CREATE INDEX imports_that_wait ON imports (job_no) WHERE waiting_since IS NOT NULL;

-- Imports that may still write rows of a record set: they run, or failed and may be retried, which ends once a newer one
-- completed. Such a row only ever leaves this view for good, as no import comes back to be older than a completed one.
-- The state is a subquery so that each job is looked up by its key: a join would read all jobs that run.
CREATE VIEW open_generations AS
SELECT o.record_set_no, o.generation, o.job_no, o.record_type_no, o.status
FROM (
    SELECT
        t.record_set_no, t.generation, t.job_no, t.record_type_no, s.completed_generation,
        (SELECT j.status FROM jobs AS j WHERE j.job_no = t.job_no) AS status
    FROM record_sets AS s
    JOIN record_types AS t ON t.record_set_no = s.record_set_no AND t.generation >= s.open_generation
) AS o
WHERE o.status = 'running' OR (o.status = 'failed' AND o.generation >= o.completed_generation);

-- What an import loads, by its spec, and whether its sources stay as they were surveyed: files do, by their staged content.
CREATE FUNCTION import_sources(bigint)
RETURNS TABLE (tenant_no int, dataset text, record_type text, has_snapshot boolean) LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT j.tenant_no, s.spec ->> 'dataset', t.value ->> 'id', coalesce(t.value #>> '{source,type}' = 'file', false)
    FROM jobs AS j
    JOIN specs AS s USING (job_no)
    CROSS JOIN LATERAL json_array_elements(
        CASE json_typeof(s.spec -> 'record_types') WHEN 'array' THEN s.spec -> 'record_types' END
    ) AS t
    WHERE j.job_no = $1 AND j.kind = 'import';
END;

-- Queued imports that still wait: the other one holds its lease, runs, or waits itself and comes first by its turn.
CREATE VIEW waiting_imports AS
SELECT i.job_no, i.waiting_since, i.waits_for_job_no, i.waits_for_type, i.waits_for_end, other.id AS waits_for_id
FROM imports AS i
JOIN jobs AS j ON j.job_no = i.job_no
JOIN jobs AS other ON other.job_no = i.waits_for_job_no
JOIN imports AS o ON o.job_no = i.waits_for_job_no
WHERE i.waiting_since IS NOT NULL AND j.status = 'queued'
    AND (
        (other.status = 'coordinating' AND o.lease_until >= now())
        OR (other.status = 'running' AND i.waits_for_end)
        OR (
            other.status = 'queued' AND o.waiting_since IS NOT NULL AND (other.turn, other.job_no) < (j.turn, j.job_no)
            AND other.identity_nos <@ current_identities()
        )
    );
