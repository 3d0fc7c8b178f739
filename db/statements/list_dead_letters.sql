-- List open dead letters, newest first, with keys below $2: of the tenant named $1, or of all for NULL. $3 bounds the
-- rows. Each tenant's are read in the order of its index. Those of cancelled jobs are left out, since they are never
-- retried.
WITH letters AS (
    SELECT d.*
    FROM tenants AS t
    CROSS JOIN LATERAL (
        SELECT
            o.dead_letter_no, t.tenant_no, t.name AS tenant, j.id AS job_id, o.job_no, o.region_no, o.model_no,
            o.question_no, o.attempts, o.error_code, o.error_detail, o.died_at
        FROM dead_letters AS o
        JOIN jobs AS j USING (job_no)
        WHERE o.tenant_no = t.tenant_no AND o.replayed_at IS NULL AND j.status <> 'cancelled'
            AND ($2::bigint IS NULL OR o.dead_letter_no < $2)
        ORDER BY o.dead_letter_no DESC
        LIMIT $3
    ) AS d
    WHERE $1::text IS NULL OR t.name = $1
    ORDER BY d.dead_letter_no DESC
    LIMIT $3
)
SELECT
    l.*,
    s.model_ids[l.model_no + 1] AS model_id,
    s.region_ids[l.region_no + 1] AS region,
    s.question_ids[l.question_no + 1] AS question_id
FROM letters AS l
JOIN specs AS s USING (job_no)
ORDER BY l.dead_letter_no DESC
