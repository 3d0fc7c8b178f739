-- Note that these keys ($1, in order) were used just now.
UPDATE api_keys AS k
SET last_used_at = now()
FROM (SELECT u.key_no FROM unnest($1::bigint[]) AS u (key_no) ORDER BY u.key_no) AS used
WHERE k.key_no = used.key_no
