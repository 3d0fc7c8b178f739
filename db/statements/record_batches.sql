-- Lock the batches of a flush by fence and holder, and record their states: ended, due again, or still running. The row
-- itself decides: a batch ends in the transaction that ends its last cell, released or not, so that no job ends while a
-- batch of it runs; and a released batch has open cells if a person's retry reopened some. A batch that another holder
-- took since is not returned: its results are stale. This lock comes before any cell is written; a join on the fence
-- alone would not stop a writer that races with the new holder's claim. Only a running batch has a holder, so there is
-- no predicate on status; with it the planner would start from all running batches. A flush that is repeated after a
-- lost acknowledgement would count cells twice: then the conditions on the cells have it rolled back. Freed permits are
-- a difference, since a claim may have granted more meanwhile. A batch that was tried is no probe any more.
UPDATE batches AS b
SET open_cells = greatest(b.open_cells - i.ended_cells, 0),
    attempts = b.attempts + (b.open_cells <= i.ended_cells OR (i.is_released AND NOT i.is_yielded))::int,
    status = CASE
        WHEN b.open_cells <= i.ended_cells THEN 'completed'
        WHEN i.is_released THEN 'pending'
        ELSE 'running'
    END,
    finished_at = CASE WHEN b.open_cells <= i.ended_cells THEN greatest(now(), b.started_at) END,
    lease_until = CASE WHEN NOT i.is_released AND b.open_cells > i.ended_cells THEN b.lease_until END,
    holder = CASE WHEN NOT i.is_released AND b.open_cells > i.ended_cells THEN b.holder END,
    slots = CASE
        WHEN NOT i.is_released AND b.open_cells > i.ended_cells THEN greatest(0, b.slots - i.freed_permits)
        ELSE 0
    END,
    not_before = CASE
        WHEN i.is_released AND b.open_cells > i.ended_cells THEN now() + i.due_in_seconds * interval '1 second'
    END,
    is_probe = b.is_probe AND i.tries = 0,
    lost_leases = CASE WHEN i.tries > 0 THEN 0 ELSE b.lost_leases END
FROM unnest(
    $1::bigint[], $2::int[], $3::int[], $4::bigint[], $5::int[], $6::int[], $7::boolean[], $8::boolean[], $9::int[],
    $10::float8[]
) AS i (
    job_no, batch_no, fence, holder, ended_cells, tries, is_released, is_yielded, freed_permits, due_in_seconds
)
WHERE b.job_no = i.job_no AND b.batch_no = i.batch_no
    AND b.fence = i.fence AND b.holder = i.holder
RETURNING b.job_no, b.batch_no, b.fence, b.status, b.open_cells
