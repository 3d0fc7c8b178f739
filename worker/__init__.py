"""The worker: plans queued jobs, runs what is due, records results, and keeps what it holds alive."""
