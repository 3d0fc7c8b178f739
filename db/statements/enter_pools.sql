-- Enter the pools of a configuration with their limits; a later configuration's limits replace the former ones.
INSERT INTO pools (provider, region, max_concurrent)
SELECT i.provider, i.region, i.max_concurrent
FROM unnest($1::text[], $2::text[], $3::int[]) AS i (provider, region, max_concurrent)
ORDER BY i.provider, i.region
ON CONFLICT ON CONSTRAINT pools_key DO UPDATE
SET max_concurrent = excluded.max_concurrent
WHERE pools.max_concurrent IS DISTINCT FROM excluded.max_concurrent
