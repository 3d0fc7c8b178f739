-- Delete up to $1 items of an expired action; once none is left, the action forgets its expiry, or is deleted if it
-- never began.
WITH expired AS MATERIALIZED (
    SELECT b.bulk_no, b.operation_no
    FROM bulk_actions AS b
    WHERE b.expires_at < now()
    ORDER BY b.expires_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED
), page AS MATERIALIZED (
    SELECT i.bulk_no, i.number
    FROM expired AS e
    JOIN bulk_items AS i USING (bulk_no)
    LIMIT $1
), deleted AS (
    DELETE FROM bulk_items AS i
    USING page AS p
    WHERE i.bulk_no = p.bulk_no AND i.number = p.number
), forgotten AS (
    UPDATE bulk_actions AS b
    SET expires_at = NULL
    FROM expired AS e
    WHERE b.bulk_no = e.bulk_no AND e.operation_no IS NOT NULL AND NOT EXISTS (SELECT FROM page)
), never_begun AS (
    DELETE FROM bulk_actions AS b
    USING expired AS e
    WHERE b.bulk_no = e.bulk_no AND e.operation_no IS NULL AND NOT EXISTS (SELECT FROM page)
)
SELECT count(*)::int
FROM expired AS e
