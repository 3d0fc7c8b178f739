-- Count cells ($2) as created under keys ($1) in their day. The transaction has locked what these keys have used.
UPDATE key_usage AS u
SET cells = u.cells + s.cells
FROM unnest($1::bigint[], $2::bigint[]) AS s (key_no, cells)
WHERE u.key_no = s.key_no
