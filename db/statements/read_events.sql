-- Scan the next events of all jobs after the place ($2 position, $3 job, $4 event), up to the position $5, in their
-- order: first events from before positions were drawn, with position 0, job by job. $7 bounds the scanned events of
-- all tenants. Return those of the tenant ($1), $6 rows at most; and the last scanned one without a job_id if it is
-- another tenant's, so that its reader can go on from there. $8 bounds the bytes of data in all rows but the last.
-- Every row has the number of scanned events, and of rows found within $6. Each job is looked up by its key: the
-- planner would rather read all jobs of the tenant.
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
SELECT p.position, p.job_no, p.event_no, p.job_id, p.type, p.at, p.source, p.data, p.bytes, p.scanned, p.found
FROM (
    SELECT
        f.*,
        count(*) OVER () AS found,
        sum(f.bytes) OVER (ORDER BY f.n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
    FROM (
        SELECT
            s.n, s.position, s.job_no, s.event_no, j.id AS job_id, s.type, s.at, s.source, l.scanned,
            CASE WHEN j.id IS NOT NULL THEN s.data END AS data,
            CASE WHEN j.id IS NOT NULL THEN octet_length(s.data::text) ELSE 0 END AS bytes
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
    ) AS f
) AS p
WHERE coalesce(p.bytes_before, 0) < $8
ORDER BY p.n
