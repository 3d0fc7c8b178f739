-- Return up to which position events may be read by the statements that follow, and whether any above it were drawn by
-- then: committed ones among them are held back by a transaction that is still open.
SELECT r.position, r.position < coalesce(pg_sequence_last_value('event_positions'), 0) AS are_held
FROM readable_event_position() AS r (position)
