-- Find the access rules that differ from those that migrations made: a sentence each, the SQL that mends it (a SELECT
-- prints it; NULL: `breakwater migrate` does it), and whether somebody may see or change more because of it. A
-- function, trigger or view that somebody added shows and changes what its caller may.
WITH changed_rules AS (
    SELECT
        coalesce(a.kind, e.kind) AS kind, object, a.object IS NULL AS is_missing, e.object IS NULL AS is_added,
        a.removal, e.definition
    FROM access_rules AS a
    FULL JOIN expected_access_rules AS e USING (object)
    -- Releases of PostgreSQL print the same definition with other parentheses and spaces.
    WHERE translate(a.definition, E' \n\t()', '') IS DISTINCT FROM translate(e.definition, E' \n\t()', '')
        AND (e.object IS NOT NULL OR a.kind NOT IN ('function', 'trigger', 'trigger state', 'view'))
)
SELECT
    format(
        'The %s %s.', c.object,
        CASE WHEN c.is_missing THEN 'is missing' WHEN c.is_added THEN 'was added' ELSE 'differs' END
    ) AS sentence,
    CASE
        WHEN c.is_added THEN c.removal
        WHEN c.kind IN ('function', 'function with rights', 'view')
            THEN format('SELECT definition FROM expected_access_rules WHERE object = %L', c.object)
        WHEN c.kind = 'right' AND c.is_missing THEN NULL
        WHEN c.kind = 'trigger state' THEN c.definition
        ELSE concat_ws('; ', c.removal, c.definition)
    END AS remedy,
    CASE
        WHEN c.kind IN ('right', 'default right', 'policy') THEN NOT c.is_missing
        WHEN c.kind = 'restrictive policy' THEN NOT c.is_added
        ELSE c.kind <> 'forced row security'
    END AS leaks
FROM changed_rules AS c
ORDER BY c.kind, c.object
