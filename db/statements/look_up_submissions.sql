-- Tell, for each submission, what is known of its Idempotency-Key, its id, and its spec hash. Takes no lock.
-- A hash is joined to the newest job that is active, else to the newest job if that is recent. $1 is the tenant,
-- $5 the hours a key is kept, $6 the seconds a job counts as recent.
SELECT
    k.job_no AS key_job_no,
    k.body_hash AS key_body_hash,
    k.status_code AS key_status_code,
    k.answer AS key_answer,
    k.submitted AS key_submitted,
    j.job_no AS id_job_no,
    coalesce(active.job_no, recent.job_no) AS hash_job_no,
    active.job_no IS NOT NULL AS hash_is_active
FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS i (key, id, spec_hash, n)
LEFT JOIN idempotency_keys AS k
    ON k.tenant_no = $1 AND k.key = i.key AND k.created_at > now() - $5::float8 * interval '1 hour'
LEFT JOIN jobs AS j ON j.tenant_no = $1 AND j.id = i.id
LEFT JOIN LATERAL (
    SELECT a.job_no
    FROM jobs AS a
    WHERE a.tenant_no = $1 AND a.spec_hash = i.spec_hash AND a.finished_at IS NULL
    ORDER BY a.job_no DESC
    LIMIT 1
) AS active ON true
LEFT JOIN LATERAL (
    SELECT newest.job_no
    FROM (
        SELECT s.job_no
        FROM specs AS s
        WHERE s.tenant_no = $1 AND s.spec_hash = i.spec_hash
        ORDER BY s.job_no DESC
        LIMIT 1
    ) AS newest
    JOIN jobs AS r USING (job_no)
    WHERE r.created_at > now() - $6::float8 * interval '1 second'
) AS recent ON true
ORDER BY i.n
