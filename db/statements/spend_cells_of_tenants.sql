-- Count cells ($2) as created for tenants ($1) in their day. The transaction has locked what these tenants have used.
UPDATE tenant_usage AS u
SET cells = u.cells + s.cells
FROM unnest($1::int[], $2::bigint[]) AS s (tenant_no, cells)
WHERE u.tenant_no = s.tenant_no
