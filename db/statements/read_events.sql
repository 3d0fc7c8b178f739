-- List a tenant's ($1) events of all jobs that come after the place ($2 position, $3 job, $4 event), up to the position
-- $5, in their order: first events from before positions were drawn, with position 0, job by job. $6 bounds the rows.
SELECT e.position, e.job_no, e.event_no, e.job_id, e.type, e.at, e.source, e.data
FROM (
    (
        SELECT 0::bigint AS position, o.job_no, o.event_no, j.id AS job_id, o.type, o.at, o.source, o.data
        FROM events AS o
        JOIN jobs AS j USING (job_no)
        WHERE $2::bigint = 0 AND o.position IS NULL AND j.tenant_no = $1
            AND (o.job_no, o.event_no) > ($3::bigint, $4::int) AND o.job_no <= last_job_before_positions()
        ORDER BY o.job_no, o.event_no
        LIMIT $6
    )
    UNION ALL
    (
        SELECT n.position, n.job_no, n.event_no, j.id, n.type, n.at, n.source, n.data
        FROM events AS n
        JOIN jobs AS j USING (job_no)
        WHERE n.position > $2 AND n.position <= $5::bigint AND j.tenant_no = $1
        ORDER BY n.position
        LIMIT $6
    )
) AS e
ORDER BY e.position, e.job_no, e.event_no
LIMIT $6
