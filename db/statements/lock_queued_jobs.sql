-- Take up to $1 queued inference jobs, nearest turn first; pass over those that another worker is planning.
SELECT
    j.job_no,
    j.id,
    j.planned,
    s.spec,
    extract(EPOCH FROM greatest(now(), j.queued_at) - j.queued_at)::float8 AS waited_seconds,
    extract(EPOCH FROM greatest(now(), j.queued_at))::float8 AS locked_at,
    EXISTS (SELECT FROM triggers AS t WHERE t.job_no = j.job_no AND t.outcome IS NULL) AS has_open_triggers,
    (SELECT EXISTS (SELECT FROM ready AS r WHERE r.not_before <= now())) AS has_backlog
FROM jobs AS j
JOIN specs AS s USING (job_no)
WHERE j.status = 'queued' AND j.kind = 'inference'
ORDER BY j.turn, j.job_no
LIMIT $1
FOR NO KEY UPDATE OF j SKIP LOCKED
