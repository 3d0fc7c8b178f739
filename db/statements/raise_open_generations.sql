-- Store for these locked record sets ($1) the generation below which no import writes any more.
UPDATE record_sets AS s
SET open_generation = coalesce(
    (SELECT min(g.generation) FROM open_generations AS g WHERE g.record_set_no = s.record_set_no), s.generation
)
WHERE s.record_set_no = ANY ($1::int[])
