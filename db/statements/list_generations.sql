-- List for each of these jobs ($1), newest first, its record types, its generations of them, and their newest ones; $2
-- bounds the bytes in all rows but the last.
SELECT g.job_no, g.generations
FROM (
    SELECT
        f.*,
        sum(octet_length(f.generations::text)) OVER (
            ORDER BY f.job_no DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS bytes_before
    FROM (
        SELECT
            j.job_no,
            (
                SELECT coalesce(
                    json_agg(json_build_array(t.id, t.generation, s.generation) ORDER BY t.record_type_no), '[]'
                )
                FROM record_types AS t
                JOIN record_sets AS s USING (record_set_no)
                WHERE t.job_no = j.job_no
            ) AS generations
        FROM unnest($1::bigint[]) AS j (job_no)
    ) AS f
) AS g
WHERE coalesce(g.bytes_before, 0) < $2
ORDER BY g.job_no DESC
