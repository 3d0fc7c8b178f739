-- Keep others from probing these pools, which this transaction has locked, while a claim of $3 seconds does.
UPDATE pools AS p
SET probed_until = now() + $3::float8 * interval '1 second'
FROM unnest($1::text[], $2::text[]) AS i (provider, region)
WHERE p.provider = i.provider AND p.region = i.region
