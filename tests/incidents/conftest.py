"""Fleets for the tests of what workers do together."""

from tests.fleet_fixtures import connection, fleet

__all__ = ["connection", "fleet"]
