-- Put a configuration in force, numbered one higher than the one before. The caller holds its lock.
INSERT INTO configurations (configuration_no, content, is_simulated, identity_nos, applied_by)
SELECT coalesce(max(c.configuration_no), 0) + 1, $1::text::json, $2::boolean, $3::int[], $4::text
FROM configurations AS c
RETURNING configuration_no
