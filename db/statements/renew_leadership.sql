-- Renew the lease of the leader of this fence ($2), and keep other workers from leading until the transaction's end.
-- Returns no row once another worker has led, or while it takes over; never waits. An expired lease that no worker took
-- still holds.
WITH own AS (
    SELECT l.duty FROM leaders AS l WHERE l.duty = $1 AND l.fence = $2 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE leaders AS l
SET lease_until = now() + $3::float8 * interval '1 second', worked_at = now()
FROM own AS o
WHERE l.duty = o.duty
RETURNING l.fence
