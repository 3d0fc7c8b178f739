-- Built while events are written. Until it is there nobody reads events in the order of their positions: only the release
-- before this one works on the database.
CREATE UNIQUE INDEX CONCURRENTLY unique_event_position ON events (position) WHERE position IS NOT NULL;
