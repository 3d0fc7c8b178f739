-- Say whether something may hold jobs, or their timelines say that something does; and which configuration is in force.
SELECT
    EXISTS (SELECT FROM pauses AS p WHERE p.is_paused)
        OR EXISTS (SELECT FROM pools AS p WHERE p.gate_code IS NOT NULL)
        OR EXISTS (SELECT FROM job_holds) AS are_there,
    (SELECT max(c.configuration_no) FROM configurations AS c) AS configuration_no
