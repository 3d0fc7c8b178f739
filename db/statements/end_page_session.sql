-- End the session of pages with this id ($1), and return the id; no row if there is none.
DELETE FROM page_sessions AS p WHERE p.id = $1 RETURNING p.id
