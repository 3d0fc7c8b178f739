"""Imports in a worker: coordinating them, reading their batches, and writing the rows."""
