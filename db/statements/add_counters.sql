-- Add to this process's counters, in the transaction of the counted work.
INSERT INTO tallies (worker_no, series, labels, value)
SELECT $1::int, i.series, i.labels, i.value
FROM unnest($2::text[], $3::text[], $4::float8[]) AS i (series, labels, value)
ORDER BY i.series, i.labels
ON CONFLICT ON CONSTRAINT unique_tally DO UPDATE SET value = tallies.value + excluded.value
