-- Store new jobs and their specs, and return their numbers; skip jobs that were normalized under a configuration that
-- isn't in force. A job's virtual finish time is the queue's virtual time plus its cells, so that small jobs are
-- planned soon and large ones get their share. $1 is the tenant. Each kind has a queue of its own. A job whose
-- coordination waits for its source doesn't hold up virtual time; neither does a job that is held because its
-- identities aren't configured any more.
WITH submitted AS MATERIALIZED (
    SELECT nextval(pg_get_serial_sequence('jobs', 'job_no')) AS job_no, s.*
    FROM unnest(
        $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::float8[], $8::text[], $9::text[], $10::text[],
        $11::text[], $12::text[], $13::text[], $14::text[], $15::int[], $16::text[]
    ) AS s (
        id, kind, name, spec_hash, planned, min_success_rate, model_ids, region_ids, question_ids, pairs, submitted,
        spec, normalization, configuration_no, identity_nos
    )
    WHERE s.configuration_no = (SELECT max(c.configuration_no) FROM configurations AS c)
), inserted_jobs AS (
    INSERT INTO jobs (job_no, tenant_no, id, kind, name, spec_hash, turn, planned, min_success_rate, configuration_no,
        identity_nos)
    SELECT
        s.job_no, $1, s.id, s.kind, s.name, s.spec_hash,
        s.planned + coalesce(
            (
                SELECT q.turn
                FROM jobs AS q
                WHERE q.status = 'queued' AND q.kind = s.kind AND q.identity_nos <@ current_identities()
                    AND NOT EXISTS (SELECT FROM imports AS i WHERE i.job_no = q.job_no AND i.not_before > now())
                ORDER BY q.turn
                LIMIT 1
            ),
            0
        ),
        s.planned, s.min_success_rate, s.configuration_no, s.identity_nos::int[]
    FROM submitted AS s
), inserted_specs AS (
    INSERT INTO specs (
        job_no, tenant_no, name, spec_hash, model_ids, region_ids, question_ids, pairs, submitted, spec, normalization
    )
    SELECT
        s.job_no, $1, s.name, s.spec_hash, s.model_ids::text[], s.region_ids::text[], s.question_ids::text[],
        s.pairs::int[], s.submitted::json, s.spec::json, s.normalization::json
    FROM submitted AS s
)
SELECT s.job_no, s.id
FROM submitted AS s
