-- Read a job as the API shows it, in one snapshot. What runs is counted from its running batches: a cell's own row
-- changes only when it ends. $1 is the tenant, $2 the client's id.
SELECT
    j.job_no, j.id, j.kind, j.name, j.status, j.planned, j.completed, j.failed, j.cancelled, j.unknown,
    j.last_event_no, j.error_code, j.error_detail, j.created_at, j.queued_at, j.started_at, j.finished_at,
    cardinality(s.model_ids) AS models,
    (SELECT count(DISTINCT pair % 256)::int FROM unnest(s.pairs) AS pair) AS regions,
    cardinality(s.question_ids) AS questions,
    s.spec, s.submitted, s.normalization,
    (
        SELECT coalesce(sum(b.open_cells), 0)::int
        FROM batches AS b
        WHERE b.job_no = j.job_no AND b.status = 'running'
    ) AS running,
    (
        SELECT count(*)::int
        FROM submissions AS u
        WHERE u.job_no = j.job_no AND u.outcome <> 'rejected'
    ) AS times_seen
FROM jobs AS j
JOIN specs AS s USING (job_no)
WHERE j.tenant_no = $1 AND j.id = $2
