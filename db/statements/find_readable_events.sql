-- Return up to which position events may be read by the statements that follow, and whether any position above it had
-- been drawn by then: an open transaction holds back the committed events among those.
SELECT r.position, r.position < coalesce(pg_sequence_last_value('event_positions'), 0) AS are_held
FROM readable_event_position() AS r (position)
