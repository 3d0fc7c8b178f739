-- Sum every counter over all processes.
SELECT series, labels, sum(value) AS value
FROM tallies
GROUP BY series, labels
ORDER BY series, labels
