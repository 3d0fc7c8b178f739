"""Submissions: a posted spec is decided, stored and answered, for API, worker and CLI; nothing here knows HTTP."""
