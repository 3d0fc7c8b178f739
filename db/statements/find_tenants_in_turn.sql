-- Return, for each of these identities ($1) with ready batches, the tenants that have some, in turn, and the virtual
-- times at which it is their turn.
SELECT
    served.identity_no,
    array_agg(t.tenant_no ORDER BY t.place) AS tenant_nos,
    array_agg(t.starts_at ORDER BY t.place) AS starts_at
FROM unnest($1::int[]) AS served (identity_no)
CROSS JOIN LATERAL tenants_with_batches(served.identity_no) AS t
GROUP BY served.identity_no
