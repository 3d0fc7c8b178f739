-- List calls in flight of all tenants, longest first, up to $1: cells of held batches whose call has begun, as their
-- workers show it. Of very many batches, $2 are looked at.
WITH held AS MATERIALIZED (
    SELECT
        b.job_no, b.batch_no, b.region_no, b.first_model_no, b.first_question_no, b.last_model_no, b.last_question_no,
        b.provider, b.region, b.worker_no
    FROM batches AS b
    WHERE b.slots > 0 AND b.lease_until > now()
    LIMIT $2
), calls AS MATERIALIZED (
    SELECT h.*, e.model_no, e.question_no, e.started_at, e.attempts
    FROM held AS h
    CROSS JOIN LATERAL (
        SELECT e.model_no, e.question_no, e.started_at, e.attempts
        FROM executions AS e
        WHERE e.job_no = h.job_no AND e.region_no = h.region_no
            AND (e.model_no, e.question_no) >= (h.first_model_no, h.first_question_no)
            AND (e.model_no, e.question_no) <= (h.last_model_no, h.last_question_no)
            AND e.batch_no = h.batch_no AND e.status = 'planned' AND e.started_at IS NOT NULL
    ) AS e
    ORDER BY e.started_at
    LIMIT $1
)
SELECT
    t.tenant_no, t.name AS tenant, j.id AS job_id, c.job_no, c.region_no, c.model_no, c.question_no,
    s.model_ids[c.model_no + 1] AS model_id, c.region, s.question_ids[c.question_no + 1] AS question_id,
    c.provider, w.id AS worker, c.attempts, c.started_at,
    extract(EPOCH FROM now() - c.started_at)::float8 AS seconds
FROM calls AS c
JOIN jobs AS j USING (job_no)
JOIN tenants AS t USING (tenant_no)
JOIN specs AS s USING (job_no)
LEFT JOIN workers AS w ON w.worker_no = c.worker_no
ORDER BY c.started_at, c.job_no, c.region_no, c.model_no, c.question_no
