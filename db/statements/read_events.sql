-- Scan the next events of all jobs after the place ($2 position, $3 job, $4 event), up to the position $5, in their
-- order: first events from before positions were drawn, with position 0, job by job. $7 bounds the scanned events of
-- all tenants. Return those of the tenant ($1), $6 rows at most; and the last scanned one without a job_id if it is
-- another tenant's, so that its reader can go on from there. Every row has the number of scanned events. Each job is
-- looked up by its key: the planner would rather read all jobs of the tenant.
WITH scanned AS MATERIALIZED (
    SELECT e.*, row_number() OVER (ORDER BY e.position, e.job_no, e.event_no) AS n
    FROM (
        (
            SELECT
                0::bigint AS position, o.job_no, o.event_no, o.type, o.at, o.source, o.data,
                o.position IS NULL AS is_in_place
            FROM events AS o
            WHERE $2::bigint = 0 AND (o.job_no, o.event_no) > ($3::bigint, $4::int)
                AND o.job_no <= last_job_before_positions()
            ORDER BY o.job_no, o.event_no
            LIMIT $7
        )
        UNION ALL
        (
            SELECT p.position, p.job_no, p.event_no, p.type, p.at, p.source, p.data, true
            FROM events AS p
            WHERE p.position > $2 AND p.position <= $5::bigint
            ORDER BY p.position
            LIMIT $7
        )
    ) AS e
    ORDER BY n
    LIMIT $7
)
SELECT s.position, s.job_no, s.event_no, j.id AS job_id, s.type, s.at, s.source, s.data, l.scanned
FROM scanned AS s
CROSS JOIN (SELECT count(*) AS scanned FROM scanned) AS l
LEFT JOIN LATERAL (
    SELECT x.id
    FROM jobs AS x
    WHERE x.job_no = s.job_no AND x.tenant_no = $1 AND s.is_in_place
    LIMIT 1
) AS j ON true
WHERE j.id IS NOT NULL OR s.n = l.scanned
ORDER BY s.n
LIMIT $6
