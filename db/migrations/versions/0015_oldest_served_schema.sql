-- The oldest release that works on this schema, named by the newest migration that it brings. A migration that takes away what
-- an older release needs replaces this function by one that returns the first revision whose release doesn't need it.
CREATE FUNCTION oldest_served_schema() RETURNS text LANGUAGE sql IMMUTABLE RETURN '0010'::text;
