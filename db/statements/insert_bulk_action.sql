-- Record what a dry run of an action matched: the items' keys ($6), which are kept for $7 seconds. Return until when.
WITH matched AS (
    INSERT INTO bulk_actions (tenant_no, as_of, action, filter, matched, expires_at)
    VALUES ($1, $2, $3, $4, $5, now() + $7::float8 * interval '1 second')
    RETURNING bulk_no, tenant_no, expires_at
), items AS (
    INSERT INTO bulk_items (bulk_no, number, tenant_no)
    SELECT m.bulk_no, i.number, m.tenant_no
    FROM matched AS m
    CROSS JOIN unnest($6::bigint[]) AS i (number)
)
SELECT m.expires_at
FROM matched AS m
