"""Places for what lasts long and can begin again: where all are taken, the tenant that has most gives one up."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import Request

from api.callers import check_again
from api.connections import STOPPING


@dataclass(eq=False)
class Place:
    """A place, whose holder is to end once it `is_given_up`. No two are equal."""

    is_given_up: bool = False

    async def goes_on(self, request: Request) -> bool:
        """Return whether the request that holds it is to be served further; its client may have left.

        Raises what `check_again` does, once the caller's key or token isn't valid any more.
        """
        if self.is_given_up or request.scope["state"].get(STOPPING) or await request.is_disconnected():
            return False
        await check_again(request.scope)
        return True


class YieldingPlaces:
    """So many places in all, and so many of them for one tenant."""

    def __init__(self, at_once: int, *, of_tenant: int) -> None:
        self._at_once = at_once
        self._of_tenant = of_tenant
        self._places_by_tenant: defaultdict[int, list[Place]] = defaultdict(list)

    @contextmanager
    def place(self, tenant_no: int) -> Iterator[Place | None]:
        """Hold one of the places, until it `is_given_up`; None where there is none.

        Where all are taken, the tenant that has most, and two more than this one, gives up its oldest.
        """
        own = len(self._places_by_tenant.get(tenant_no, ()))
        if own >= self._of_tenant or not self._make_room(own):
            yield None
            return
        place = Place()
        self._places_by_tenant[tenant_no].append(place)
        try:
            yield place
        finally:
            if not place.is_given_up:
                self._give_back(tenant_no, place)

    def _give_back(self, tenant_no: int, place: Place) -> None:
        own = self._places_by_tenant[tenant_no]
        own.remove(place)
        if not own:
            del self._places_by_tenant[tenant_no]

    def _make_room(self, own: int) -> bool:
        """Return whether there is a place for a tenant that has so many."""
        places = self._places_by_tenant.values()
        if sum(map(len, places)) < self._at_once:
            return True
        most = max(places, key=len)
        if len(most) < own + 2:
            return False
        most.pop(0).is_given_up = True
        return True
