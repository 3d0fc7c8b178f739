"""Redis and nothing else: the stream of envelopes, notices and locks. No work is lost if Redis loses its data."""
