-- Read a job as the API shows it, in one snapshot. Running cells are counted from running batches: a cell's own row
-- changes only when it ends. A job is held while all its open work was accepted under identities that aren't configured
-- any more: since the configuration that removed them. A job from before any configuration is held since the first one,
-- if that lacks its identities, and since it was queued if there is none yet. $1 is the tenant, $2 the client's id. At
-- most $3 of the queued jobs before it are counted.
SELECT
    j.job_no, j.id, j.kind, j.name, j.status, j.planned, j.completed, j.failed, j.cancelled, j.unknown, j.incomplete,
    j.spec_hash, j.last_event_no, j.error_code, j.error_detail, j.created_at, j.queued_at, j.started_at, j.finished_at,
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
        SELECT min(b.started_at)
        FROM batches AS b
        WHERE b.job_no = j.job_no
    ) AS first_started_at,
    extract(EPOCH FROM greatest(now(), j.queued_at) - j.queued_at)::float8 AS seconds_since_queued,
    CASE WHEN j.status = 'queued' THEN (
        SELECT count(*)::int
        FROM (
            SELECT
            FROM jobs AS q
            WHERE q.status = 'queued' AND q.kind = j.kind AND (q.turn, q.job_no) < (j.turn, j.job_no)
            LIMIT $3::int
        ) AS before
    ) END AS queued_before,
    (
        SELECT count(*)::int
        FROM submissions AS u
        WHERE u.job_no = j.job_no AND u.outcome <> 'rejected'
    ) AS times_seen,
    CASE
        WHEN j.identity_nos IS NULL
            THEN EXISTS (SELECT FROM executions AS e WHERE e.job_no = j.job_no AND e.provider_used = 'echo')
        ELSE EXISTS (
            SELECT
            FROM identities AS i
            WHERE i.identity_no = ANY (j.identity_nos || coalesce(j.former_identity_nos, '{}')) AND i.is_simulated
        )
    END AS simulated,
    h.held_since, h.held_by
FROM jobs AS j
JOIN specs AS s USING (job_no)
LEFT JOIN LATERAL (
    SELECT
        greatest(j.queued_at, (
            SELECT min(c.applied_at)
            FROM configurations AS c
            WHERE c.configuration_no > coalesce(
                (SELECT max(f.configuration_no) FROM configurations AS f WHERE j.identity_nos <@ f.identity_nos), 0
            )
        )) AS held_since,
        ARRAY(
            SELECT concat_ws(' in ', nullif(concat_ws(' ', i.kind, nullif(i.name, '')), ''), nullif(i.region, ''))
            FROM identities AS i
            WHERE i.identity_no = ANY (j.identity_nos) AND NOT i.identity_no = ANY (current_identities())
            ORDER BY i.identity_no
        ) AS held_by
    WHERE j.finished_at IS NULL
        AND NOT coalesce(j.identity_nos <@ current_identities(), false)
        AND NOT EXISTS (
            SELECT
            FROM batches AS b
            WHERE b.job_no = j.job_no
                AND (b.status = 'running' OR (b.status = 'pending' AND b.identity_no = ANY (current_identities())))
        )
) AS h ON true
WHERE j.tenant_no = $1 AND j.id = $2
