-- Keep the records of a set ($1) by the value of their keys from now on, unless they are already, or an import other
-- than $2 is open that writes them by spelling.
UPDATE record_sets AS s
SET keys_by_value = true
WHERE s.record_set_no = $1::int
  AND NOT s.keys_by_value
  AND NOT EXISTS (
      SELECT
      FROM record_types AS r
      JOIN jobs AS j USING (job_no)
      WHERE r.record_set_no = $1 AND r.job_no <> $2::bigint AND j.status IN ('queued', 'coordinating', 'running')
  )
RETURNING s.record_set_no
