"""A cache of specs, so that a batch doesn't read its job's spec again."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Generic, TypeVar

from db.engine import Engine, connect
from db.specs import load_specs

Spec = TypeVar("Spec")


class SpecCache(Generic[Spec]):
    """An LRU cache of a kind's normalized specs by job.

    `weigh` returns the part of `capacity` that a spec takes, such as its cells, so that memory is bounded for jobs of
    any size. The last spec stays at any weight.
    """

    def __init__(
        self,
        engine: Engine,
        parse: Callable[[Mapping[str, Any]], Spec],
        *,
        capacity: int,
        weigh: Callable[[Spec], int] = lambda _: 1,
    ) -> None:
        self._engine = engine
        self._parse = parse
        self._weigh = weigh
        self._capacity = capacity
        self._specs: OrderedDict[int, Spec] = OrderedDict()
        self._weight = 0

    @property
    def job_nos(self) -> frozenset[int]:
        """The jobs whose specs are kept."""
        return frozenset(self._specs)

    def keep(self, job_no: int, spec: Spec) -> None:
        """Add a spec."""
        if job_no not in self._specs:
            self._specs[job_no] = spec
            self._weight += self._weigh(spec)
        while self._weight > self._capacity and len(self._specs) > 1:
            _, dropped = self._specs.popitem(last=False)
            self._weight -= self._weigh(dropped)

    async def load(self, job_nos: Iterable[int]) -> Mapping[int, Spec]:
        """Return the specs of these jobs; read those that aren't cached. Unreadable specs are absent."""
        wanted = set(job_nos)
        found = {job_no: self._specs[job_no] for job_no in wanted if job_no in self._specs}
        for job_no in found:
            self._specs.move_to_end(job_no)
        if missing := sorted(wanted - found.keys()):
            async with connect(self._engine) as connection:
                stored = await load_specs(connection, missing)
            for job_no, spec in stored.items():
                with suppress(LookupError, ValueError, TypeError, AttributeError):  # of another version
                    found[job_no] = self._parse(spec)
                    self.keep(job_no, found[job_no])
        return found
