"""Submissions: decide, store and answer posted specs, for API, worker and CLI; without HTTP."""
