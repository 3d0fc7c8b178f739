-- Sum every counter over the processes that ever counted.
SELECT series, labels, sum(value) AS value
FROM tallies
GROUP BY series, labels
ORDER BY series, labels
