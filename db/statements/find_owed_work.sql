-- List work that has been due for at least $1 seconds: queued jobs, imports whose coordinator's lease ran out (since
-- any time) and ready batches, longest first. Work that is held isn't owed: accepted under an identity that isn't
-- configured any more, waiting for another import, paused, behind an open circuit breaker, or at a limit of calls in
-- flight, where released permits wake a worker.
WITH current AS MATERIALIZED (
    SELECT current_identities() AS identity_nos
), held_pools AS MATERIALIZED (
    SELECT p.provider, p.region
    FROM pools AS p
    WHERE p.gate_until > now()
        OR (p.gate_code IS NOT NULL AND EXISTS (
            SELECT
            FROM batches AS b
            WHERE b.provider = p.provider AND b.region = p.region AND b.slots > 0 AND b.is_probe
                AND b.lease_until >= now()
        ))
        OR p.max_concurrent <= (
            SELECT coalesce(sum(b.slots), 0)
            FROM batches AS b
            WHERE b.provider = p.provider AND b.region = p.region AND b.slots > 0
        )
), held_jobs AS MATERIALIZED (
    SELECT l.job_no FROM jobs_at_limit AS l
)
SELECT owed.job_no, owed.batch_no, owed.seconds
FROM (
    (
        SELECT j.job_no, NULL::int AS batch_no, extract(EPOCH FROM now() - j.queued_at)::float8 AS seconds
        FROM jobs AS j
        WHERE j.status = 'queued' AND j.identity_nos <@ (SELECT c.identity_nos FROM current AS c)
            AND j.queued_at < now() - $1::float8 * interval '1 second'
            AND NOT EXISTS (SELECT FROM imports AS i WHERE i.job_no = j.job_no AND i.not_before > now())
            AND NOT EXISTS (SELECT FROM waiting_imports AS w WHERE w.job_no = j.job_no)
        ORDER BY j.turn, j.job_no
        LIMIT $2
    )
    UNION ALL
    (
        SELECT i.job_no, NULL, extract(EPOCH FROM now() - i.lease_until)::float8
        FROM imports AS i
        JOIN jobs AS j USING (job_no)
        WHERE j.identity_nos <@ (SELECT c.identity_nos FROM current AS c)
            AND i.holder IS NOT NULL AND i.lease_until < now() - $1::float8 * interval '1 second'
        ORDER BY i.lease_until
        LIMIT $2
    )
    UNION ALL
    (
        SELECT r.job_no, r.batch_no, extract(EPOCH FROM now() - greatest(r.queued_at, r.not_before))::float8
        FROM ready AS r
        WHERE r.identity_no = ANY ((SELECT c.identity_nos FROM current AS c)::int[])
            AND greatest(r.queued_at, r.not_before) < now() - $1::float8 * interval '1 second'
            AND NOT EXISTS (SELECT FROM pauses_of(r.provider, r.region))
            AND NOT EXISTS (SELECT FROM held_pools AS h WHERE h.provider = r.provider AND h.region = r.region)
            AND NOT EXISTS (SELECT FROM held_jobs AS h WHERE h.job_no = r.job_no)
        ORDER BY r.turn, r.job_no, r.batch_no
        LIMIT $2
    )
) AS owed
ORDER BY owed.seconds DESC, owed.job_no, owed.batch_no
LIMIT $2
