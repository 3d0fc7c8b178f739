-- Look up, for each submission, its Idempotency-Key, its id and its content (spec hash) among what its tenant ($1) has.
-- Takes no lock.
-- A content joins the newest active job, else the job that completed (wholly or in part) last, if that was less than $6
-- seconds ago, and all identities that may have served it are still configured. `previous` is the last job of the
-- content that ended and isn't joined any more. $5 is the hours a key is kept. Each look-up is a LATERAL
-- with an order and a LIMIT, so that it probes the index with this order for each submission: with young statistics the
-- planner would hash all jobs of the tenant, or use any index that begins with the tenant (a look-up by id has no
-- order, so it is a range of one id).
SELECT
    k.request AS key_request,
    k.job_no AS key_job_no,
    k.body_hash AS key_body_hash,
    k.status_code AS key_status_code,
    k.answer AS key_answer,
    k.submitted AS key_submitted,
    named.job_no AS id_job_no,
    coalesce(active.job_no, recent.job_no) AS hash_job_no,
    active.job_no IS NOT NULL AS hash_is_active,
    previous.id AS previous_id,
    previous.status AS previous_status,
    previous.finished_at AS previous_finished_at
FROM unnest($1::int[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS i (tenant_no, key, id, spec_hash, n)
LEFT JOIN LATERAL (
    SELECT x.request, x.job_no, x.body_hash, x.status_code, x.answer, x.submitted
    FROM idempotency_keys AS x
    WHERE x.tenant_no = i.tenant_no AND x.key = i.key AND x.created_at > now() - $5::float8 * interval '1 hour'
    LIMIT 1
) AS k ON true
LEFT JOIN LATERAL (
    SELECT j.job_no
    FROM jobs AS j
    WHERE j.tenant_no = i.tenant_no AND j.id >= i.id AND j.id <= i.id
    ORDER BY j.id
    LIMIT 1
) AS named ON true
LEFT JOIN LATERAL (
    SELECT j.job_no
    FROM jobs AS j
    WHERE j.tenant_no = i.tenant_no AND j.spec_hash = i.spec_hash AND j.finished_at IS NULL
    ORDER BY j.job_no DESC
    LIMIT 1
) AS active ON true
LEFT JOIN LATERAL (
    SELECT j.job_no
    FROM jobs AS j
    WHERE j.tenant_no = i.tenant_no AND j.spec_hash = i.spec_hash AND j.status IN ('completed', 'partial')
        AND j.finished_at > now() - $6::float8 * interval '1 second'
        AND (j.identity_nos <@ current_identities()) IS NOT FALSE
    ORDER BY j.finished_at DESC
    LIMIT 1
) AS recent ON true
LEFT JOIN LATERAL (
    SELECT ended.id, ended.status, ended.finished_at
    FROM (
        (
            SELECT j.id, j.status, j.finished_at
            FROM jobs AS j
            WHERE j.tenant_no = i.tenant_no AND j.spec_hash = i.spec_hash AND j.status IN ('failed', 'cancelled')
                AND j.id IS DISTINCT FROM i.id
            ORDER BY j.finished_at DESC
            LIMIT 1
        )
        UNION ALL
        (
            SELECT j.id, j.status, j.finished_at
            FROM jobs AS j
            WHERE j.tenant_no = i.tenant_no AND j.spec_hash = i.spec_hash AND j.status IN ('completed', 'partial')
                AND (
                    j.finished_at <= now() - $6::float8 * interval '1 second'
                    OR (j.identity_nos <@ current_identities()) IS FALSE
                )
                AND j.id IS DISTINCT FROM i.id
            ORDER BY j.finished_at DESC
            LIMIT 1
        )
    ) AS ended
    ORDER BY ended.finished_at DESC
    LIMIT 1
) AS previous ON true
ORDER BY i.n
