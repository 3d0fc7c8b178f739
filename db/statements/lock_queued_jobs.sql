-- Lock up to $1 queued jobs of kind $5 that together plan up to $2 cells, at least one job: first those of the tenant
-- whose turn it is, lowest virtual finish time first, then those of the next one. Pass over jobs that another worker is
-- planning, jobs that were accepted under an identity that isn't among $4, the identities of configuration $3, or that
-- is another tenant's, and all jobs if another configuration is in force. Only the specs of the locked jobs are read;
-- `waiting` is how many jobs waited in all. Whose identities are is asked only where some of $4 are kept for tenants.
-- OFFSET 0 keeps the planner from hashing all triggers.
WITH kept AS MATERIALIZED (
    SELECT array_agg(i.identity_no) AS identity_nos
    FROM identities AS i
    WHERE i.identity_no = ANY ($4::int[]) AND i.tenant IS NOT NULL
)
SELECT
    j.job_no,
    j.id,
    j.planned,
    j.identity_nos,
    s.spec,
    extract(EPOCH FROM greatest(now(), j.queued_at) - j.queued_at)::float8 AS waited_seconds,
    extract(EPOCH FROM greatest(now(), j.queued_at))::float8 AS locked_at,
    EXISTS (SELECT FROM triggers AS t WHERE t.job_no = j.job_no AND t.outcome IS NULL OFFSET 0) AS has_open_triggers,
    (
        SELECT EXISTS (
                SELECT
                FROM unnest($4::int[]) AS served (identity_no)
                WHERE EXISTS (
                    SELECT FROM ready AS r WHERE r.identity_no = served.identity_no AND r.not_before <= now()
                )
            )
            OR EXISTS (SELECT FROM pauses AS x WHERE x.is_paused)
    ) AS has_backlog,
    j.waiting,
    j.tenant_no,
    j.starts_at,
    j.is_shared
FROM (
    SELECT l.*, sum(l.planned) OVER (ORDER BY l.place, l.turn, l.job_no) AS cells, count(*) OVER () AS waiting
    FROM (
        SELECT t.*, w.*
        FROM tenants_with_jobs($5::text) AS t
        CROSS JOIN LATERAL (
            SELECT q.job_no, q.id, q.planned, q.identity_nos, q.turn, q.queued_at
            FROM jobs AS q
            WHERE q.status = 'queued' AND q.kind = $5::text AND q.tenant_no = t.tenant_no
                AND q.identity_nos <@ $4::int[]
                AND $3::int = (SELECT max(c.configuration_no) FROM configurations AS c)
                AND (
                    (SELECT k.identity_nos FROM kept AS k) IS NULL
                    OR NOT EXISTS (
                        SELECT
                        FROM identities AS i
                        WHERE i.identity_no = ANY (q.identity_nos) AND i.tenant IS NOT NULL
                            AND NOT names_tenant(i.tenant, q.tenant_no)
                    )
                )
            ORDER BY q.turn, q.job_no
            LIMIT $1
            FOR NO KEY UPDATE OF q SKIP LOCKED
        ) AS w
        LIMIT $1
    ) AS l
) AS j
JOIN specs AS s USING (job_no)
WHERE j.cells <= $2 OR j.cells = j.planned
ORDER BY j.place, j.turn, j.job_no
