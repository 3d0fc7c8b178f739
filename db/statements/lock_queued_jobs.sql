-- Take up to $1 queued inference jobs, nearest turn first, that together plan up to $2 cells, one at least; pass over
-- those that another worker is planning. Specs are read only of those; `waiting` tells how many there were in all.
-- OFFSET 0 keeps the planner from reading every trigger there is into a hash table.
SELECT
    j.job_no,
    j.id,
    j.planned,
    s.spec,
    extract(EPOCH FROM greatest(now(), j.queued_at) - j.queued_at)::float8 AS waited_seconds,
    extract(EPOCH FROM greatest(now(), j.queued_at))::float8 AS locked_at,
    EXISTS (SELECT FROM triggers AS t WHERE t.job_no = j.job_no AND t.outcome IS NULL OFFSET 0) AS has_open_triggers,
    (
        SELECT EXISTS (SELECT FROM ready AS r WHERE r.not_before <= now())
            OR EXISTS (SELECT FROM pauses AS x WHERE x.is_paused)
    ) AS has_backlog,
    j.waiting
FROM (
    SELECT l.*, sum(l.planned) OVER (ORDER BY l.turn, l.job_no) AS cells, count(*) OVER () AS waiting
    FROM (
        SELECT q.job_no, q.id, q.planned, q.turn, q.queued_at
        FROM jobs AS q
        WHERE q.status = 'queued' AND q.kind = 'inference'
        ORDER BY q.turn, q.job_no
        LIMIT $1
        FOR NO KEY UPDATE OF q SKIP LOCKED
    ) AS l
) AS j
JOIN specs AS s USING (job_no)
WHERE j.cells <= $2 OR j.cells = j.planned
ORDER BY j.turn, j.job_no
