-- Read the configuration in force with its identities, unless it is $1.
SELECT
    c.configuration_no, c.content, c.is_simulated, c.applied_at, c.applied_by,
    (
        SELECT coalesce(json_agg(
            json_build_array(i.kind, i.name, i.region, coalesce(i.tenant, ''), i.identity_no)
        ), '[]')
        FROM identities AS i
        WHERE i.identity_no = ANY (c.identity_nos)
    ) AS identities
FROM current_configuration AS c
WHERE c.configuration_no IS DISTINCT FROM $1::int
