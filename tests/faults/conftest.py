"""Fleets for the tests of what workers do together."""

from tests.fleet_fixtures import connection, fleet
from tests.provider_server import provider

__all__ = ["connection", "fleet", "provider"]
