-- Return those of these names ($1) that no tenant has.
SELECT i.name
FROM unnest($1::text[]) AS i (name)
WHERE NOT EXISTS (SELECT FROM tenants AS t WHERE t.name = i.name)
ORDER BY i.name
