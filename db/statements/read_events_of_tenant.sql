-- Scan the next events as `read_events` does, in a transaction of the tenant ($1), which sees none of the others'
-- events: it is told where those stand, and no more. The parameters and rows are those of `read_events`.
WITH scanned AS MATERIALIZED (
    SELECT p.*, row_number() OVER (ORDER BY p.event_position, p.job_no, p.event_no) AS n
    FROM event_places_after($2::bigint, $3::bigint, $4::int, $5::bigint, $7::bigint) AS p
    ORDER BY n
    LIMIT $7
)
SELECT
    s.event_position AS position, s.job_no, s.event_no, e.job_id, e.type, e.at, e.source, e.data, l.scanned
FROM scanned AS s
CROSS JOIN (SELECT count(*) AS scanned FROM scanned) AS l
LEFT JOIN LATERAL (
    SELECT j.id AS job_id, x.type, x.at, x.source, x.data
    FROM jobs AS j
    JOIN events AS x USING (job_no)
    WHERE j.job_no = s.job_no AND j.tenant_no = $1 AND x.event_no = s.event_no AND s.is_in_place
    LIMIT 1
) AS e ON true
WHERE e.job_id IS NOT NULL OR s.n = l.scanned
ORDER BY s.n
LIMIT $6
