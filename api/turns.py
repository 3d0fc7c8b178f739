"""Turns at the event loop: few requests go on in each of its passes, so that no tenant's many hold up another's one.

The loop runs all that is ready in the order in which it came. 400 requests that come at once, each of which takes a
millisecond up to its first wait, would hold up the next for 0.4 s at each of its own waits.
"""

from typing import Any, Final

from fastapi import Depends, Request

from api.fair_places import FairPlaces

NOBODY: Final = 0
"""Who takes turns with the tenants for all requests without a caller; tenants are numbered from 1."""
PROBES: Final = -1
"""The same for the health of the process: who floods other open routes doesn't make it look ill."""
AT_ONCE: Final = 4
"""The requests that go on in a pass. With one, 32 clients that POST cost 3 % more CPU, for passes (2026-11-30)."""


class Turns:
    """Lets requests go on, of each tenant in turn."""

    def __init__(self) -> None:
        self._places = FairPlaces(AT_ONCE)

    async def take(self, tenant_no: int) -> None:
        """Wait for the turn of a tenant's request; nearly free while no other comes in the same pass."""
        await self._places.pass_through(tenant_no)


async def take_turn(request: Request, of: int) -> None:
    """Wait for the turn of a request without a caller. With authentication off there are no tenants, and no turns."""
    services = getattr(request.app.state, "services", None)
    if services is not None and services.authenticator is not None:
        await services.turns.take(of)


async def _take_open(request: Request) -> None:
    await take_turn(request, NOBODY)


async def _take_probe(request: Request) -> None:
    await take_turn(request, PROBES)


open_turn: Any = Depends(_take_open)
"""The dependency of routes that anybody may ask."""
probe_turn: Any = Depends(_take_probe)
"""The dependency of probes."""
