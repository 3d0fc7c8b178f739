-- Renew the lease of the leader of this fence ($2), and keep others from leading until the transaction's end. Finds nothing
-- once another worker led meanwhile. A lease that ran out and that nobody took is still held.
UPDATE leaders
SET lease_until = now() + $3::float8 * interval '1 second', worked_at = now()
WHERE duty = $1 AND fence = $2
RETURNING fence
