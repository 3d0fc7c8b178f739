-- Find the open jobs that were accepted under an identity that isn't configured now; unless $1, only those with one
-- whose type and address are configured, for their tenant in another way. Those from before there was a configuration
-- have none.
WITH current AS MATERIALIZED (
    SELECT i.*
    FROM identities AS i
    WHERE i.identity_no = ANY ((SELECT current_identities())::int[])
)
SELECT j.job_no
FROM jobs AS j
WHERE j.finished_at IS NULL AND NOT j.identity_nos <@ (SELECT current_identities())
    AND (
        $1::boolean
        OR EXISTS (SELECT FROM identities AS k WHERE k.tenant IS NOT NULL)
        AND EXISTS (
            SELECT
            FROM identities AS o
            JOIN current AS n USING (kind, name, region)
            WHERE o.identity_no = ANY (j.identity_nos) AND n.tenant IS DISTINCT FROM o.tenant
                AND (n.tenant IS NULL OR names_tenant(n.tenant, j.tenant_no))
                AND n.content::jsonb - 'tenant' = o.content::jsonb - 'tenant'
        )
    )
ORDER BY j.job_no
