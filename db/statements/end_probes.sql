-- Let pools be probed again whose probing call ended without telling.
UPDATE pools AS p
SET probed_until = NULL
FROM unnest($1::text[], $2::text[]) AS i (provider, region)
WHERE p.provider = i.provider AND p.region = i.region
