-- Close the circuit breakers of pools whose provider was replaced: the former provider opened them.
UPDATE pools AS p
SET gate_until = NULL, gate_code = NULL, gate_detail = NULL, gate_times = 0
FROM unnest($1::text[], $2::text[]) AS i (provider, region)
WHERE p.provider = i.provider AND p.region = i.region AND p.gate_code IS NOT NULL
