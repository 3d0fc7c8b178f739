-- Give waiting batches of open jobs ($1) that were accepted anew the new identities. Batches that a worker holds end
-- under the former identity; if they are released, they are due under it until this statement runs again.
WITH misplaced AS MATERIALIZED (
    SELECT b.job_no, b.batch_no, b.status, n.identity_no
    FROM jobs AS j
    JOIN batches AS b ON b.job_no = j.job_no AND b.status IN ('pending', 'running')
    JOIN identities AS o ON o.identity_no = b.identity_no
    JOIN identities AS n
        ON n.identity_no = ANY (j.identity_nos) AND n.kind = o.kind AND n.name = o.name AND n.region = o.region
    WHERE j.job_no = ANY ($1::bigint[])
        AND j.finished_at IS NULL AND j.former_identity_nos IS NOT NULL AND NOT b.identity_no = ANY (j.identity_nos)
    ORDER BY b.job_no, b.batch_no
), moved_batches AS (
    UPDATE batches AS b
    SET identity_no = m.identity_no
    FROM misplaced AS m
    WHERE b.job_no = m.job_no AND b.batch_no = m.batch_no AND b.status = 'pending'
)
UPDATE ready AS r
SET identity_no = m.identity_no
FROM misplaced AS m
WHERE r.job_no = m.job_no AND r.batch_no = m.batch_no AND r.identity_no <> m.identity_no
RETURNING r.job_no, r.batch_no
