-- End the sessions called $2 that still build index $1, and wait until they have ended: the server goes on with a build
-- whose client was killed. They are found first: among the conditions of one WHERE the server might try the ending
-- before the others.
WITH builders AS MATERIALIZED (
    SELECT p.pid
    FROM pg_stat_progress_create_index AS p
    JOIN pg_stat_activity AS a USING (pid)
    WHERE p.index_relid = to_regclass($1) AND a.application_name = $2
)
SELECT b.pid FROM builders AS b WHERE pg_terminate_backend(b.pid, 10000)
