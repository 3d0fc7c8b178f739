-- Enter the configured pauses of regions and providers. A pause counts if it is new or has changed in the
-- configuration; else a person's later pause or resume stands. A state that this changes is recorded as an operation.
WITH entered AS (
    INSERT INTO pauses (kind, name, is_paused, configured, changed_by)
    SELECT i.kind, i.name, i.is_paused, i.is_paused, 'configuration'
    FROM unnest($1::text[], $2::text[], $3::boolean[]) AS i (kind, name, is_paused)
    ORDER BY i.kind, i.name
    ON CONFLICT ON CONSTRAINT pauses_key DO UPDATE
    SET is_paused = excluded.is_paused,
        configured = excluded.configured,
        changed_at = now(),
        changed_by = excluded.changed_by,
        reason = NULL
    WHERE pauses.configured <> excluded.configured
    RETURNING kind, name, is_paused, changed_at, changed_by
)
INSERT INTO operations (action, kind, name, at, by)
SELECT CASE WHEN e.is_paused THEN 'pause' ELSE 'resume' END, e.kind, e.name, e.changed_at, e.changed_by
FROM entered AS e
LEFT JOIN pauses AS before USING (kind, name)
WHERE e.is_paused <> coalesce(before.is_paused, false)
ORDER BY e.kind, e.name
RETURNING kind, name
