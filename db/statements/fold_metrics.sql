-- Store the sums of stopped processes ($2) with the worker $1, and mark ($4) the processes $3 as included.
UPDATE workers AS w
SET metrics = CASE w.worker_no WHEN $1::int THEN $2::text ELSE $4::text END::json
WHERE w.worker_no = $1 OR w.worker_no = ANY ($3::int[])
