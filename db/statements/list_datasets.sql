-- List a tenant's ($1) datasets by name, after $2, up to $3, with their record types; each with its newest
-- completed import and its newest import; NULL if that was deleted. $4 bounds the record types in all datasets but the
-- last. Every row has the number of datasets found within $3.
WITH page AS (
    SELECT p.dataset, p.found
    FROM (
        SELECT
            f.dataset,
            count(*) OVER () AS found,
            sum(f.types) OVER (ORDER BY f.dataset ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS types_before
        FROM (
            SELECT s.dataset, count(*) AS types
            FROM record_sets AS s
            WHERE s.tenant_no = $1 AND s.dataset > $2
            GROUP BY s.dataset
            ORDER BY s.dataset
            LIMIT $3
        ) AS f
    ) AS p
    WHERE coalesce(p.types_before, 0) < $4
)
SELECT
    s.dataset, s.record_type, s.generation,
    completed.job_id, completed.generation AS job_generation, completed.status, completed.planned_at,
    completed.finished_at,
    newest.job_id AS newest_id, newest.generation AS newest_generation, newest.status AS newest_status,
    newest.planned_at AS newest_planned_at, newest.finished_at AS newest_finished_at, p.found
FROM page AS p
JOIN record_sets AS s ON s.tenant_no = $1 AND s.dataset = p.dataset
LEFT JOIN LATERAL (
    SELECT j.id AS job_id, t.generation, j.status, i.planned_at, j.finished_at
    FROM record_types AS t
    JOIN jobs AS j USING (job_no)
    JOIN imports AS i USING (job_no)
    WHERE t.record_set_no = s.record_set_no AND t.generation <= s.completed_generation
        AND j.status IN ('completed', 'partial')
    ORDER BY t.generation DESC, t.job_no DESC
    LIMIT 1
) AS completed ON true
LEFT JOIN LATERAL (
    SELECT j.id AS job_id, t.generation, j.status, i.planned_at, j.finished_at
    FROM record_types AS t
    JOIN jobs AS j USING (job_no)
    JOIN imports AS i USING (job_no)
    WHERE t.record_set_no = s.record_set_no
    ORDER BY t.generation DESC, t.job_no DESC
    LIMIT 1
) AS newest ON true
ORDER BY s.dataset, s.record_type
