"""What a job is, what it will run and which states it may take. Pure: no I/O, clock, randomness or logging."""
