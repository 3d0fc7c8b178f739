-- Return the position up to which later statements may read events, and whether a position above it was drawn: an open
-- transaction holds back the committed events among those.
SELECT r.position, r.position < coalesce(pg_sequence_last_value('event_positions'), 0) AS are_held
FROM readable_event_position() AS r (position)
