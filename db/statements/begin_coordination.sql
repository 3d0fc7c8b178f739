-- Take the lease of an import's coordination, its job locked, for holder $2 of worker $3 and $4 seconds. Return no row
-- while another worker's lease runs, unless configuration $5 is in force, or if the job was accepted under an identity
-- that this worker doesn't serve ($6). The former holder is fenced off. The trigger is the retry that requested the
-- coordination, if any; else `initial` for the job's first coordination, and `fallback` after a lost lease or a failed
-- try.
WITH taken AS (
    INSERT INTO imports (job_no, fence, holder, worker_no, lease_until, heartbeat_at)
    SELECT j.job_no, 1, $2::bigint, $3::int, now() + $4::float8 * interval '1 second', now()
    FROM jobs AS j
    WHERE j.job_no = $1
        AND j.identity_nos <@ $6::int[]
        AND $5::int = (SELECT max(c.configuration_no) FROM configurations AS c)
    ON CONFLICT ON CONSTRAINT imports_key DO UPDATE
    SET fence = imports.fence + 1,
        holder = excluded.holder,
        worker_no = excluded.worker_no,
        lease_until = excluded.lease_until,
        heartbeat_at = excluded.heartbeat_at,
        lost_leases = imports.lost_leases + (imports.holder IS NOT NULL)::int,
        not_before = NULL,
        waiting_since = NULL,
        waits_for_job_no = NULL,
        waits_for_type = NULL,
        waits_for_end = NULL
    WHERE imports.lease_until IS NULL OR imports.lease_until < now()
    RETURNING
        job_no, fence, attempts, lost_leases, extract(EPOCH FROM now() - away_since)::float8 AS unavailable_seconds
), fenced_triggers AS (
    UPDATE triggers AS t
    SET outcome = 'fenced', finished_at = clock_timestamp()
    FROM taken AS i
    WHERE t.job_no = i.job_no AND t.outcome IS NULL AND t.fence < i.fence
    RETURNING t.source
), adopted_trigger AS (
    UPDATE triggers AS t
    SET fence = i.fence, worker_no = $3
    FROM taken AS i
    WHERE t.trigger_no = (
        SELECT min(o.trigger_no)
        FROM triggers AS o
        WHERE o.job_no = i.job_no AND o.outcome IS NULL AND o.fence IS NULL AND o.source = 'retry'
    )
    RETURNING t.trigger_no, t.source
), inserted_trigger AS (
    INSERT INTO triggers (job_no, source, fence, worker_no)
    SELECT i.job_no, CASE i.fence WHEN 1 THEN 'initial' ELSE 'fallback' END, i.fence, $3
    FROM taken AS i
    WHERE NOT EXISTS (SELECT FROM adopted_trigger)
    RETURNING trigger_no, source
), own_trigger AS (
    SELECT a.trigger_no, a.source FROM adopted_trigger AS a
    UNION ALL
    SELECT n.trigger_no, n.source FROM inserted_trigger AS n
), begun_job AS (
    UPDATE jobs AS j
    SET status = 'coordinating',
        started_at = coalesce(j.started_at, greatest(clock_timestamp(), j.queued_at)),
        last_event_no = j.last_event_no + 1
    FROM taken AS i
    CROSS JOIN own_trigger AS o
    WHERE j.job_no = i.job_no
    RETURNING j.job_no, j.id, j.tenant_no, j.identity_nos, write_event(
        j.job_no, j.last_event_no, 'coordinating', o.source, json_build_object('fence', i.fence)
    )
)
SELECT
    j.job_no, j.id, j.tenant_no, j.identity_nos, s.spec, i.fence, i.attempts, i.lost_leases, i.unavailable_seconds,
    o.trigger_no, o.source,
    ARRAY(SELECT f.source FROM fenced_triggers AS f) AS fenced_sources
FROM begun_job AS j
CROSS JOIN taken AS i
CROSS JOIN own_trigger AS o
JOIN specs AS s ON s.job_no = j.job_no
