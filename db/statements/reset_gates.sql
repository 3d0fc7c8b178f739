-- Open the gates of pools whose provider is another one now: what closed them was said by the one before.
UPDATE pools AS p
SET gate_until = NULL, gate_code = NULL, gate_detail = NULL, gate_times = 0
FROM unnest($1::text[], $2::text[]) AS i (provider, region)
WHERE p.provider = i.provider AND p.region = i.region AND p.gate_code IS NOT NULL
