-- List open dead letters, newest first, with keys below $1: those of a tenant ($2), a job ($3), a region ($4), a model
-- ($5) and an error code ($6); NULL stands for any. $7 bounds the rows. Each tenant's are read in the order of its
-- index, past those that don't match. Those of cancelled jobs are left out, since they are never retried.
WITH letters AS (
    SELECT d.*
    FROM tenants AS t
    CROSS JOIN LATERAL (
        SELECT
            o.dead_letter_no, t.tenant_no, t.name AS tenant, j.id AS job_id, o.job_no, o.region_no, o.model_no,
            o.question_no, o.attempts, o.error_code, o.error_detail, o.died_at,
            s.model_ids[o.model_no + 1] AS model_id,
            s.region_ids[o.region_no + 1] AS region,
            s.question_ids[o.question_no + 1] AS question_id
        FROM dead_letters AS o
        JOIN jobs AS j USING (job_no)
        JOIN specs AS s USING (job_no)
        WHERE o.tenant_no = t.tenant_no AND o.replayed_at IS NULL AND j.status <> 'cancelled'
            AND ($1::bigint IS NULL OR o.dead_letter_no < $1)
            AND ($3::text IS NULL OR j.id = $3)
            AND ($4::text IS NULL OR s.region_ids[o.region_no + 1] = $4)
            AND ($5::text IS NULL OR s.model_ids[o.model_no + 1] = $5)
            AND ($6::text IS NULL OR o.error_code = $6)
        ORDER BY o.dead_letter_no DESC
        LIMIT $7
    ) AS d
    WHERE $2::text IS NULL OR t.name = $2
    ORDER BY d.dead_letter_no DESC
    LIMIT $7
)
SELECT
    l.dead_letter_no, l.tenant_no, l.tenant, l.job_id, l.job_no, l.region_no, l.model_no, l.question_no, l.attempts,
    l.error_code, l.error_detail, l.died_at, l.model_id, l.region, l.question_id
FROM letters AS l
ORDER BY l.dead_letter_no DESC
