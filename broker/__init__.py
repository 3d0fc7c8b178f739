"""Redis and nothing else: the stream of doorbells. PostgreSQL stays the only truth; losing this loses no work."""
