-- Store new jobs and their specs. A job's turn is the queue's virtual time plus its cells, so that small jobs are
-- planned soon and large ones get their share.
WITH submitted AS MATERIALIZED (
    SELECT *
    FROM unnest(
        $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::float8[], $9::text[], $10::text[],
        $11::text[], $12::text[], $13::text[], $14::text[], $15::text[]
    ) AS s (
        job_no, id, kind, name, spec_hash, planned, min_success_rate, model_ids, region_ids, question_ids, pairs,
        submitted, spec, normalization
    )
), inserted_jobs AS (
    INSERT INTO jobs (job_no, tenant_no, id, kind, name, spec_hash, turn, planned, min_success_rate)
    SELECT
        s.job_no, $1, s.id, s.kind, s.name, s.spec_hash,
        coalesce((SELECT min(q.turn) FROM jobs AS q WHERE q.status = 'queued'), 0) + s.planned,
        s.planned, s.min_success_rate
    FROM submitted AS s
)
INSERT INTO specs (
    job_no, tenant_no, name, spec_hash, model_ids, region_ids, question_ids, pairs, submitted, spec, normalization
)
SELECT
    s.job_no, $1, s.name, s.spec_hash, s.model_ids::text[], s.region_ids::text[], s.question_ids::text[],
    s.pairs::int[], s.submitted::json, s.spec::json, s.normalization::json
FROM submitted AS s
