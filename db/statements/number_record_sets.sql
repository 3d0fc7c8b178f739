-- Give these record sets ($1) their next generation, and lock them until the commit, in the order of their numbers; the
-- form of their keys is decided under this lock, too.
WITH locked AS MATERIALIZED (
    SELECT s.record_set_no
    FROM record_sets AS s
    WHERE s.record_set_no = ANY ($1::int[])
    ORDER BY s.record_set_no
    FOR NO KEY UPDATE
)
UPDATE record_sets AS s
SET generation = s.generation + 1
FROM locked AS l
WHERE s.record_set_no = l.record_set_no
RETURNING s.record_set_no, s.generation
