"""Inference in a worker: planning its jobs, asking their cells of providers, and recording the results."""
