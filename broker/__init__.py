"""Redis and nothing else: the stream of envelopes, notices and locks. Losing it loses no work."""
