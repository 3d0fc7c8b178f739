-- Lock the batches of a flush by fence and holder, and settle them: still running, ended, or due again later.
-- A batch that another holder took since is not returned: its results are stale. This lock comes before any cell is
-- written; a join on the fence alone would not stop a writer that raced with the new holder's claim. Only a running
-- batch has a holder, so status needs no predicate here; one would let the planner start from the running ones.
-- A flush that is repeated, its commit unheard of, would count cells twice: the cells themselves then undo it.
UPDATE batches AS b
SET open_cells = greatest(b.open_cells - i.ended_cells, 0),
    attempts = b.attempts + (i.status <> 'running')::int,
    status = i.status,
    finished_at = CASE WHEN i.status = 'completed' THEN greatest(now(), b.started_at) END,
    lease_until = CASE WHEN i.status = 'running' THEN b.lease_until END,
    holder = CASE WHEN i.status = 'running' THEN b.holder END,
    not_before = now() + i.due_in_seconds * interval '1 second',
    lost_leases = CASE WHEN i.tries > 0 THEN 0 ELSE b.lost_leases END
FROM unnest($1::bigint[], $2::int[], $3::int[], $4::bigint[], $5::int[], $6::int[], $7::text[], $8::float8[])
    AS i (job_no, batch_no, fence, holder, ended_cells, tries, status, due_in_seconds)
WHERE b.job_no = i.job_no AND b.batch_no = i.batch_no
    AND b.fence = i.fence AND b.holder = i.holder
RETURNING b.job_no, b.batch_no, b.fence
