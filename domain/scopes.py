"""Scopes: what an API key may do. Each route names the one it needs."""

from enum import StrEnum


class Scope(StrEnum):
    """The scopes of keys, by their names in the API.

    Those of jobs are for the key's own tenant. `operate`, `metrics` and `admin` are for the whole installation.
    """

    JOBS_WRITE = "jobs:write"
    JOBS_READ = "jobs:read"
    RESULTS_READ = "results:read"
    CONTROLS = "controls"
    OPERATE = "operate"
    METRICS = "metrics"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)
OF_INSTALLATION = frozenset({Scope.OPERATE, Scope.METRICS, Scope.ADMIN})
"""The scopes of routes that see the whole installation, whichever tenant the key belongs to."""
