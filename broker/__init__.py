"""Redis and nothing else: the stream of doorbells. PostgreSQL stays the only truth; losing all of this loses no work."""
