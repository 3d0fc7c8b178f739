"""Jobs, their specs, plans and states. Pure: no I/O, clock, randomness or logging."""
