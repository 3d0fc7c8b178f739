-- Record the rules that migrations made, changed or took away, as they should be from now on: those that aren't as they
-- were before ($1 objects, $2 their definitions). What others have changed stays a difference. Rights of the service's
-- roles are recorded where they are granted; an owner, and what is switched off or forced, is always a difference.
WITH before AS (
    SELECT b.object, b.definition
    FROM unnest($1::text[], $2::text[]) AS b (object, definition)
), gone AS (
    DELETE FROM expected_access_rules AS e
    USING before AS b
    WHERE e.object = b.object AND e.kind <> 'right'
        AND NOT EXISTS (SELECT FROM access_rules AS a WHERE a.object = b.object)
)
INSERT INTO expected_access_rules (object, kind, definition)
SELECT a.object, a.kind, a.definition
FROM access_rules AS a
LEFT JOIN before AS b USING (object)
WHERE a.definition IS DISTINCT FROM b.definition
    AND a.kind NOT IN ('right', 'owner', 'disabled trigger', 'forced row security')
ON CONFLICT (object) DO UPDATE SET kind = excluded.kind, definition = excluded.definition
