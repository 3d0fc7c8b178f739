-- Open the circuit breakers of pools ($1 providers, $2 regions) whose provider takes no calls, for $5 seconds each, $7
-- at least; if the provider gives no time, for $8 seconds, doubled after each refused probe ($6) in a row, at most $9.
-- While a circuit breaker is open only probes are called, so any other refusal answers an earlier call: the time that
-- it gives counts, but it doesn't lengthen a doubled time.
UPDATE pools AS p
SET gate_until = CASE
        WHEN i.seconds IS NOT NULL
            THEN greatest(p.gate_until, now() + greatest($7::float8, i.seconds) * interval '1 second')
        WHEN p.gate_code IS NULL OR i.by_probe
            THEN now() + least($9::float8, $8::float8 * 2 ^ least(p.gate_times, 16)) * interval '1 second'
        ELSE p.gate_until
    END,
    gate_code = i.code,
    gate_detail = i.detail,
    gate_times = p.gate_times + (p.gate_code IS NULL OR i.by_probe)::int
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[], $6::boolean[])
    AS i (provider, region, code, detail, seconds, by_probe)
WHERE p.provider = i.provider AND p.region = i.region
