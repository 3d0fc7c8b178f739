-- Record that these imports ($1), which this transaction ended, completed: from now on no older import may be retried.
-- A retry locks the same rows before it checks.
WITH completed AS MATERIALIZED (
    SELECT t.record_set_no, max(t.generation) AS generation
    FROM record_types AS t
    WHERE t.job_no = ANY ($1::bigint[])
    GROUP BY t.record_set_no
), locked AS MATERIALIZED (
    SELECT s.record_set_no
    FROM record_sets AS s
    WHERE s.record_set_no IN (SELECT c.record_set_no FROM completed AS c)
    ORDER BY s.record_set_no
    FOR NO KEY UPDATE
)
UPDATE record_sets AS s
SET completed_generation = c.generation
FROM completed AS c
JOIN locked AS l USING (record_set_no)
WHERE s.record_set_no = c.record_set_no AND s.completed_generation < c.generation
