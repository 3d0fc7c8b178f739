-- Store new jobs and their specs, and return their numbers; skip jobs that were normalized under a configuration that
-- isn't in force. A job's virtual finish time is the virtual time of its tenant in its kind's queue plus its cells,
-- so that small jobs are planned soon and large ones get their share. Each job names its tenant.
WITH submitted AS MATERIALIZED (
    SELECT nextval(pg_get_serial_sequence('jobs', 'job_no')) AS job_no, s.*
    FROM unnest(
        $1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::float8[], $8::text[], $9::text[],
        $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::int[], $16::text[], $17::float8[]
    ) AS s (
        tenant_no, id, kind, name, spec_hash, planned, min_success_rate, model_ids, region_ids, question_ids, pairs,
        submitted, spec, normalization, configuration_no, identity_nos, queue_timeout_seconds
    )
    WHERE s.configuration_no = (SELECT max(c.configuration_no) FROM configurations AS c)
), queues AS MATERIALIZED (
    SELECT k.tenant_no, k.kind, queue_virtual_time_of_tenant(k.tenant_no, k.kind) AS virtual_time
    FROM (SELECT DISTINCT s.tenant_no, s.kind FROM submitted AS s) AS k
), inserted_jobs AS (
    INSERT INTO jobs (job_no, tenant_no, id, kind, name, spec_hash, turn, planned, min_success_rate, configuration_no,
        identity_nos, overdue_at)
    SELECT
        s.job_no, s.tenant_no, s.id, s.kind, s.name, s.spec_hash, s.planned + q.virtual_time, s.planned,
        s.min_success_rate, s.configuration_no, s.identity_nos::int[],
        now() + s.queue_timeout_seconds * interval '1 second'
    FROM submitted AS s
    JOIN queues AS q USING (tenant_no, kind)
), inserted_specs AS (
    INSERT INTO specs (
        job_no, tenant_no, name, spec_hash, model_ids, region_ids, question_ids, pairs, submitted, spec, normalization
    )
    SELECT
        s.job_no, s.tenant_no, s.name, s.spec_hash, s.model_ids::text[], s.region_ids::text[], s.question_ids::text[],
        s.pairs::int[], s.submitted::json, s.spec::json, s.normalization::json
    FROM submitted AS s
)
SELECT s.job_no, s.tenant_no, s.id
FROM submitted AS s
