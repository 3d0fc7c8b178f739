-- Find up to $1 imports that wait to be coordinated, or whose coordinator's lease ran out, of tenants in their turn;
-- not the imports in $2, nor those that wait for another import, and only those whose identities this worker serves
-- ($4) and are no other tenant's, while configuration $3 is in force.
-- Nothing is locked: taking the lease decides.
SELECT w.job_no, w.id
FROM tenants_with_jobs('import') AS t
CROSS JOIN LATERAL (
    SELECT j.job_no, j.id, j.turn
    FROM jobs AS j
    LEFT JOIN imports AS i USING (job_no)
    WHERE j.kind = 'import' AND j.tenant_no = t.tenant_no AND j.status IN ('queued', 'coordinating')
        AND j.job_no <> ALL ($2::bigint[])
        AND j.identity_nos <@ $4::int[]
        AND $3::int = (SELECT max(c.configuration_no) FROM configurations AS c)
        AND (i.lease_until IS NULL OR i.lease_until < now())
        AND (i.not_before IS NULL OR i.not_before <= now())
        AND NOT EXISTS (SELECT FROM waiting_imports AS w WHERE w.job_no = j.job_no)
        AND NOT EXISTS (
            SELECT
            FROM identities AS k
            WHERE k.identity_no = ANY (j.identity_nos) AND k.tenant IS NOT NULL
                AND NOT names_tenant(k.tenant, j.tenant_no)
        )
    ORDER BY j.turn, j.job_no
    LIMIT $1
) AS w
ORDER BY t.place, w.turn, w.job_no
LIMIT $1
