-- Take a running batch, which this transaction has locked, from its holder: due at once, under a raised fence that the
-- holder doesn't have. $3 is the actor, $4 the reason. Return the former holder. The last WHERE counts the offered
-- batch, so that PostgreSQL runs the offer.
WITH released_batch AS (
    UPDATE batches AS b
    SET status = 'pending',
        fence = b.fence + 1,
        holder = NULL,
        lease_until = NULL,
        slots = 0,
        not_before = NULL
    WHERE b.job_no = $1 AND b.batch_no = $2
    RETURNING b.job_no, b.batch_no, b.identity_no, b.open_cells, b.worker_no
), job AS (
    UPDATE jobs AS j
    SET last_event_no = j.last_event_no + 1
    FROM released_batch AS b
    LEFT JOIN workers AS w USING (worker_no)
    WHERE j.job_no = b.job_no
    RETURNING j.job_no, j.tenant_no, write_event(
        j.job_no, j.last_event_no, 'lease_released', $3::text,
        json_build_object(
            'by', $3::text, 'reason', $4::text, 'batch_id', b.batch_no, 'cells', b.open_cells, 'held_by', w.id
        )
    )
), due_batch AS (
    SELECT offer_batch(
        b.job_no, b.batch_no, b.open_cells, virtual_finish_time_of_tenant(j.tenant_no, b.identity_no, 0)
    )
    FROM released_batch AS b
    JOIN job AS j USING (job_no)
)
SELECT w.id
FROM released_batch AS b
LEFT JOIN workers AS w USING (worker_no)
WHERE (SELECT count(*) FROM due_batch) >= 0
