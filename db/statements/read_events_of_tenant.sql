-- Scan the next events as `read_events` does, in a transaction of the tenant ($1), which sees none of the others'
-- events: it is told where those stand, and no more. The parameters and rows are those of `read_events`.
WITH scanned AS MATERIALIZED (
    SELECT p.*, row_number() OVER (ORDER BY p.event_position, p.job_no, p.event_no) AS n
    FROM event_places_after($2::bigint, $3::bigint, $4::int, $5::bigint, $7::bigint) AS p
    ORDER BY n
    LIMIT $7
)
SELECT p.position, p.job_no, p.event_no, p.job_id, p.type, p.at, p.source, p.data, p.bytes, p.scanned, p.found
FROM (
    SELECT
        f.*,
        count(*) OVER () AS found,
        sum(f.bytes) OVER (ORDER BY f.n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
    FROM (
        SELECT
            s.n, s.event_position AS position, s.job_no, s.event_no, e.job_id, e.type, e.at, e.source, e.data,
            l.scanned, coalesce(octet_length(e.data::text), 0) AS bytes
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
    ) AS f
) AS p
WHERE coalesce(p.bytes_before, 0) < $8
ORDER BY p.n
