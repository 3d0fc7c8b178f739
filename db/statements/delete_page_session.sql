-- End the session of pages with this digest ($1).
DELETE FROM page_sessions AS p WHERE p.digest = $1::bytea
