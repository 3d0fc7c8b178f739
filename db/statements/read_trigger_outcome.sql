-- Return what came of a trigger; null while it is under way.
SELECT t.outcome
FROM triggers AS t
WHERE t.trigger_no = $1
