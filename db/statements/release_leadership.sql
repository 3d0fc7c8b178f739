-- End the leases of a worker that stops, so that another worker leads at once.
UPDATE leaders SET lease_until = '-infinity' WHERE worker_no = $1 AND lease_until > now()
