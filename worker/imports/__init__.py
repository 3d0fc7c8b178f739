"""The import kind in a worker: coordinating imports, reading their batches, and writing the rows."""
