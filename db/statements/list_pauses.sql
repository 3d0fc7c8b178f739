-- List every pause.
SELECT p.kind, p.name, p.is_paused, p.changed_at, p.changed_by, p.reason
FROM pauses AS p
