"""Submissions: what becomes of a posted spec. For API, worker and CLI alike; nothing here knows HTTP."""
