-- Read whether a worker is drained.
SELECT is_drained FROM workers WHERE worker_no = $1
