-- List operations, newest first, with keys below $1 (NULL: all), $2 at most: pauses and resumes, and actions over a
-- filter. Both draw their keys from one sequence.
SELECT o.operation_no, o.action, o.kind, o.name, o.at, o.by, o.reason, o.matched, o.done, o.skipped
FROM (
    (
        SELECT
            p.operation_no, p.action, p.kind, p.name, p.at, p.by, p.reason,
            NULL::int AS matched, NULL::int AS done, NULL::int AS skipped
        FROM operations AS p
        WHERE $1::bigint IS NULL OR p.operation_no < $1
        ORDER BY p.operation_no DESC
        LIMIT $2
    )
    UNION ALL
    (
        SELECT
            b.operation_no, split_part(b.action, '_', 1), substr(b.action, strpos(b.action, '_') + 1), b.filter,
            b.at, b.by, b.reason, b.matched, b.done, b.skipped
        FROM bulk_actions AS b
        WHERE b.operation_no < coalesce($1::bigint, 9223372036854775807)
        ORDER BY b.operation_no DESC
        LIMIT $2
    )
) AS o
ORDER BY o.operation_no DESC
LIMIT $2
