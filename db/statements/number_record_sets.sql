-- Give these record sets ($1) their next generation, each locked to the commit that follows, in the order of their numbers:
-- how they keep their keys is decided under this lock too.
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
