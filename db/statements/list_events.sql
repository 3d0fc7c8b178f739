-- List a job's events with numbers above $2, oldest first; with the worker, if the source is a worker's id. $3 bounds
-- the rows, $4 the bytes of data in all rows but the last. Every row has the number of rows found within $3.
SELECT p.event_no, p.type, p.at, p.source, p.data, w.id AS worker, p.found
FROM (
    SELECT
        f.*,
        count(*) OVER () AS found,
        sum(f.bytes) OVER (ORDER BY f.event_no ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
    FROM (
        SELECT e.event_no, e.type, e.at, e.source, e.data, octet_length(e.data::text) AS bytes
        FROM events AS e
        WHERE e.job_no = $1 AND e.event_no > $2
        ORDER BY e.event_no
        LIMIT $3
    ) AS f
) AS p
LEFT JOIN workers AS w ON w.id = p.source AND w.role = 'worker'
WHERE coalesce(p.bytes_before, 0) < $4
ORDER BY p.event_no
