-- Return the outcome of a trigger; null while it is pending.
SELECT t.outcome
FROM triggers AS t
WHERE t.trigger_no = $1
