"""The worker: plans queued jobs, runs due batches, records results, and renews its leases."""
