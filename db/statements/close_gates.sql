-- Close the gates of pools ($1 providers, $2 regions) whose provider takes no calls, for $5 seconds each, $6 at least; where it
-- doesn't say how long, for $6 seconds, twice as long each time in a row, at most $7. One burst of refusals is one time.
UPDATE pools AS p
SET gate_until = CASE
        WHEN i.seconds IS NULL AND p.gate_until > now() THEN p.gate_until
        ELSE greatest(
            p.gate_until,
            now() + greatest(
                $6::float8, coalesce(i.seconds, least($7::float8, $6::float8 * 2 ^ least(p.gate_times, 16)))
            ) * interval '1 second'
        )
    END,
    gate_code = i.code,
    gate_detail = i.detail,
    gate_times = p.gate_times + (p.gate_until IS NULL OR p.gate_until <= now())::int
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[]) AS i (provider, region, code, detail, seconds)
WHERE p.provider = i.provider AND p.region = i.region
