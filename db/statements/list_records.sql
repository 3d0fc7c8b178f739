-- List the rows of a record set ($1) with keys from $2 on, up to $3. $4 bounds the bytes in all rows but the last.
-- Every row has the number of rows found within $3. A payload is read to be measured, but only those returned are kept.
SELECT p.record_key, p.payload::text AS payload, p.updated_at, p.job_id, p.batch_no, p.generation, p.found
FROM (
    SELECT
        f.*,
        count(*) OVER () AS found,
        sum(f.bytes) OVER (ORDER BY f.record_key ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
    FROM (
        SELECT
            r.record_key, r.payload, r.updated_at, j.id AS job_id, r.batch_no, r.generation,
            octet_length(r.record_key) + octet_length(r.payload::text) AS bytes
        FROM imported_records AS r
        LEFT JOIN jobs AS j USING (job_no)
        WHERE r.record_set_no = $1 AND r.record_key >= $2::text COLLATE "C"
        ORDER BY r.record_key
        LIMIT $3
    ) AS f
) AS p
WHERE coalesce(p.bytes_before, 0) < $4
ORDER BY p.record_key
