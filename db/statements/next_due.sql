-- Tell in how many seconds the next waiting batch becomes due, or NULL where none waits for its time.
SELECT extract(EPOCH FROM min(not_before) - now())::float8
FROM ready
WHERE not_before > now()
