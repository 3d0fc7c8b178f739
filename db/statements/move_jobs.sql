-- Accept open jobs of $2 anew that were accepted under an identity that is no longer configured: under the identity of
-- the same name, and of a provider the same region, in the configuration in force: that of the job's tenant, else every
-- tenant's; unless $3, only under one with the same type and address. Only jobs with a successor for every identity. A
-- simulated provider succeeds no real one, nor the reverse: `echo`, which replaces every provider in a simulation,
-- isn't a provider of that name. An import that is being coordinated is coordinated again: its coordinator reads the
-- former source. $1 is the actor.
WITH current AS MATERIALIZED (
    SELECT c.configuration_no, c.identity_nos, c.is_simulated FROM current_configuration AS c
), touched_jobs AS MATERIALIZED (
    SELECT j.job_no, j.identity_nos, j.configuration_no, j.tenant_no
    FROM jobs AS j
    WHERE j.job_no = ANY ($2::bigint[]) AND j.finished_at IS NULL
        AND NOT j.identity_nos <@ (SELECT c.identity_nos FROM current AS c)
    ORDER BY j.job_no
    FOR NO KEY UPDATE OF j
), successors AS (
    SELECT t.job_no, array_agg(n.identity_no ORDER BY n.identity_no) AS identity_nos
    FROM touched_jobs AS t
    CROSS JOIN LATERAL unnest(t.identity_nos) AS former (identity_no)
    JOIN identities AS o ON o.identity_no = former.identity_no
    CROSS JOIN current AS c
    LEFT JOIN configurations AS a ON a.configuration_no = t.configuration_no
    LEFT JOIN LATERAL (
        SELECT i.identity_no
        FROM identities AS i
        WHERE i.identity_no = ANY (c.identity_nos) AND i.kind = o.kind AND i.name = o.name AND i.region = o.region
            AND (o.kind <> 'provider' OR a.is_simulated = c.is_simulated)
            AND (i.tenant IS NULL OR names_tenant(i.tenant, t.tenant_no))
            AND ($3::boolean OR i.content::jsonb - 'tenant' = o.content::jsonb - 'tenant')
        ORDER BY i.tenant
        LIMIT 1
    ) AS n ON true
    GROUP BY t.job_no
    HAVING count(*) = count(n.identity_no)
), moved_jobs AS (
    UPDATE jobs AS j
    SET configuration_no = c.configuration_no,
        identity_nos = s.identity_nos,
        former_identity_nos = coalesce(j.former_identity_nos, '{}') || t.identity_nos,
        status = CASE WHEN j.status = 'coordinating' THEN 'queued' ELSE j.status END,
        last_event_no = j.last_event_no + 1
    FROM successors AS s
    JOIN touched_jobs AS t USING (job_no)
    CROSS JOIN current AS c
    WHERE j.job_no = s.job_no
    RETURNING j.job_no, write_event(
        j.job_no, j.last_event_no, 'accepted_anew', $1::text,
        json_build_object(
            'by', $1::text,
            'from_configuration', t.configuration_no,
            'to_configuration', j.configuration_no,
            'changed', (
                SELECT json_agg(json_build_object('kind', o.kind, 'name', o.name, 'region', nullif(o.region, '')))
                FROM identities AS o
                WHERE o.identity_no = ANY (t.identity_nos) AND NOT o.identity_no = ANY (j.identity_nos)
            )
        )
    )
), fenced_coordinations AS (
    UPDATE imports AS i
    SET fence = i.fence + 1, holder = NULL, lease_until = NULL
    FROM moved_jobs AS m
    WHERE i.job_no = m.job_no AND i.holder IS NOT NULL
)
SELECT m.job_no
FROM moved_jobs AS m
