"""Imports in a worker: what coordinates one, what reads its batches, and what writes their rows."""
