-- Write into timelines what began or ceased to hold open jobs since the last look: of the next $2 of them after $1, by
-- worker $3. A hold is a pause, an open circuit breaker or a missing identity that keeps work of the job from starting;
-- `holds_all` says that nothing of it may start. A circuit breaker that is probed has held until then. Locked jobs are
-- left for the next look, and holds of jobs that have ended are forgotten. Return how many jobs were looked at, the
-- last of them, and how many events were written.
WITH looked_at AS MATERIALIZED (
    SELECT j.job_no, j.status, j.queued_at, j.identity_nos
    FROM jobs AS j
    WHERE j.finished_at IS NULL AND j.job_no > $1
    ORDER BY j.job_no
    LIMIT $2
), noted AS MATERIALIZED (
    SELECT h.job_no, h.reason, h.provider, h.region, h.since
    FROM job_holds AS h
    WHERE h.job_no > $1 AND h.job_no <= (
        SELECT CASE WHEN count(*) = $2 THEN max(l.job_no) ELSE 9223372036854775807 END
        FROM looked_at AS l
    )
), open_pools AS MATERIALIZED (
    SELECT DISTINCT l.job_no, b.provider, b.region
    FROM looked_at AS l
    JOIN batches AS b USING (job_no)
    WHERE b.finished_at IS NULL
    UNION
    SELECT l.job_no, i.name, i.region
    FROM looked_at AS l
    JOIN identities AS i ON i.identity_no = ANY (l.identity_nos)
    WHERE l.status = 'queued' AND i.kind = 'provider'
), holds_of_pools AS MATERIALIZED (
    SELECT
        o.job_no, o.provider AS in_provider, o.region AS in_region, p.kind || '_paused' AS reason,
        CASE p.kind WHEN 'provider' THEN o.provider ELSE '' END AS provider,
        CASE p.kind WHEN 'region' THEN o.region ELSE '' END AS region,
        p.changed_at AS since, NULL AS code
    FROM open_pools AS o
    CROSS JOIN LATERAL pauses_of(o.provider, o.region) AS p
    UNION ALL
    SELECT o.job_no, o.provider, o.region, 'gate_closed', o.provider, o.region, p.gate_closed_at, p.gate_code
    FROM open_pools AS o
    JOIN pools AS p USING (provider, region)
    WHERE p.gate_code IS NOT NULL AND (
        p.gate_until > now()
        OR EXISTS (
            SELECT
            FROM noted AS h
            WHERE h.job_no = o.job_no AND h.reason = 'gate_closed' AND h.provider = o.provider AND h.region = o.region
        )
    )
), holds AS MATERIALIZED (
    SELECT h.job_no, h.reason, h.provider, h.region, min(h.since) AS since, min(h.code) AS code
    FROM holds_of_pools AS h
    GROUP BY h.job_no, h.reason, h.provider, h.region
    UNION ALL
    SELECT l.job_no, 'configuration_changed', '', '', c.applied_at, NULL
    FROM looked_at AS l
    CROSS JOIN (SELECT c.applied_at FROM configurations AS c ORDER BY c.configuration_no DESC LIMIT 1) AS c
    WHERE NOT coalesce(l.identity_nos <@ current_identities(), false)
        AND NOT EXISTS (
            SELECT
            FROM batches AS b
            WHERE b.job_no = l.job_no
                AND (b.status = 'running' OR (b.status = 'pending' AND b.identity_no = ANY (current_identities())))
        )
), changes AS MATERIALIZED (
    SELECT h.job_no, h.reason, h.provider, h.region, h.since, NULL AS code, 'released' AS type
    FROM noted AS h
    JOIN looked_at AS l USING (job_no)
    WHERE NOT EXISTS (
        SELECT
        FROM holds AS n
        WHERE n.job_no = h.job_no AND n.reason = h.reason AND n.provider = h.provider AND n.region = h.region
    )
    UNION ALL
    SELECT n.job_no, n.reason, n.provider, n.region, greatest(n.since, l.queued_at), n.code, 'held'
    FROM holds AS n
    JOIN looked_at AS l USING (job_no)
    WHERE NOT EXISTS (
        SELECT
        FROM noted AS h
        WHERE h.job_no = n.job_no AND h.reason = n.reason AND h.provider = n.provider AND h.region = n.region
    )
), free_jobs AS MATERIALIZED (
    SELECT j.job_no
    FROM jobs AS j
    WHERE j.job_no IN (SELECT c.job_no FROM changes AS c) AND j.finished_at IS NULL
    ORDER BY j.job_no
    FOR NO KEY UPDATE SKIP LOCKED
), written AS MATERIALIZED (
    SELECT c.*, row_number() OVER (PARTITION BY c.job_no ORDER BY c.type DESC, c.reason, c.provider, c.region) AS nth,
        c.reason = 'configuration_changed' OR NOT EXISTS (
            SELECT
            FROM open_pools AS o
            WHERE o.job_no = c.job_no AND NOT EXISTS (
                SELECT
                FROM holds_of_pools AS h
                WHERE h.job_no = o.job_no AND h.in_provider = o.provider AND h.in_region = o.region
            )
        ) AS holds_all
    FROM changes AS c
    JOIN free_jobs AS f USING (job_no)
), numbered AS (
    UPDATE jobs AS j
    SET last_event_no = j.last_event_no + n.events
    FROM (SELECT w.job_no, count(*)::int AS events FROM written AS w GROUP BY w.job_no) AS n
    WHERE j.job_no = n.job_no
    RETURNING j.job_no, j.last_event_no - n.events AS before
), added AS (
    INSERT INTO job_holds (job_no, reason, provider, region, since)
    SELECT w.job_no, w.reason, w.provider, w.region, w.since
    FROM written AS w
    WHERE w.type = 'held'
), removed AS (
    DELETE FROM job_holds AS h
    USING (
        SELECT w.job_no, w.reason, w.provider, w.region FROM written AS w WHERE w.type = 'released'
        UNION ALL
        SELECT n.job_no, n.reason, n.provider, n.region
        FROM noted AS n
        WHERE NOT EXISTS (SELECT FROM looked_at AS l WHERE l.job_no = n.job_no)
    ) AS past
    WHERE h.job_no = past.job_no AND h.reason = past.reason
        AND h.provider = past.provider AND h.region = past.region
)
SELECT
    (SELECT count(*)::int FROM looked_at) AS jobs,
    (SELECT max(l.job_no) FROM looked_at AS l) AS last_job_no,
    coalesce(write_events(
        array_agg(e.job_no),
        array_agg(e.before + e.nth),
        array_agg(e.type),
        array_agg($3::text),
        array_agg(
            json_strip_nulls(json_build_object(
                'reason', e.reason,
                'provider', nullif(e.provider, ''),
                'region', nullif(e.region, ''),
                'since', e.since,
                'code', e.code,
                'holds_all', CASE e.type WHEN 'held' THEN e.holds_all END
            ))
        )
    ), 0)::int AS events
FROM (SELECT w.*, n.before FROM written AS w JOIN numbered AS n USING (job_no) ORDER BY w.job_no, w.nth) AS e
