-- Enter new kinds ($1), each with the unit of its progress ($2).
INSERT INTO kinds (kind, unit)
SELECT k.kind, k.unit
FROM unnest($1::text[], $2::text[]) AS k (kind, unit)
WHERE NOT EXISTS (SELECT FROM kinds AS known WHERE known.kind = k.kind)
ON CONFLICT ON CONSTRAINT kinds_key DO NOTHING
