-- Lock what these keys ($1, in order) have used, until the transaction ends, and return it. A new day begins with no
-- cells; a transaction that waited past midnight doesn't begin the day before again.
INSERT INTO key_usage AS u (key_no, day, cells)
SELECT k.key_no, (clock_timestamp() AT TIME ZONE 'UTC')::date, 0
FROM unnest($1::bigint[]) AS k (key_no)
ORDER BY k.key_no
ON CONFLICT ON CONSTRAINT key_usage_key DO UPDATE
SET day = greatest(u.day, excluded.day), cells = CASE WHEN u.day < excluded.day THEN 0 ELSE u.cells END
RETURNING
    u.key_no AS number, u.cells, (u.day + 1)::timestamp AT TIME ZONE 'UTC' AS day_ends_at, clock_timestamp() AS at
