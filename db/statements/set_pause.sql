-- Pause or resume a region or a provider, and record the actor and the reason; no row if it is in that state already.
-- The row's lock serializes concurrent requests, so that only the first changes the state.
WITH changed AS (
    UPDATE pauses AS p
    SET is_paused = $3::boolean,
        changed_at = greatest(now(), p.changed_at),
        changed_by = $4::text,
        reason = $5::text
    WHERE p.kind = $1::text AND p.name = $2::text AND p.is_paused <> $3::boolean
    RETURNING p.kind, p.name, p.changed_at, p.changed_by, p.reason
)
INSERT INTO operations (action, kind, name, at, by, reason)
SELECT CASE WHEN $3::boolean THEN 'pause' ELSE 'resume' END, c.kind, c.name, c.changed_at, c.changed_by, c.reason
FROM changed AS c
RETURNING operation_no
