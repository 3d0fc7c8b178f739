"""The specs of the jobs at work, kept in memory so that a batch doesn't read its job's spec again."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress

from db.engine import Engine, connect
from db.specs import load_specs
from domain.spec import JobSpec

KEPT_CELLS = 500_000
"""Planned cells of the kept specs together, at most: bounds memory, whatever the size of jobs."""


class Specs:
    """A bounded cache of normalized specs by job, least recently used out first."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._specs: OrderedDict[int, JobSpec] = OrderedDict()
        self._cells = 0

    def keep(self, job_no: int, spec: JobSpec) -> None:
        """Keep a spec that is at hand."""
        if job_no not in self._specs:
            self._specs[job_no] = spec
            self._cells += spec.planned
        while self._cells > KEPT_CELLS and len(self._specs) > 1:
            _, dropped = self._specs.popitem(last=False)
            self._cells -= dropped.planned

    async def load(self, job_nos: Iterable[int]) -> Mapping[int, JobSpec]:
        """Return the specs of these jobs, reading those that aren't kept; one that can't be read is absent."""
        wanted = set(job_nos)
        found = {job_no: self._specs[job_no] for job_no in wanted if job_no in self._specs}
        for job_no in found:
            self._specs.move_to_end(job_no)
        if missing := sorted(wanted - found.keys()):
            async with connect(self._engine) as connection:
                stored = await load_specs(connection, missing)
            for job_no, spec in stored.items():
                with suppress(LookupError, ValueError, TypeError, AttributeError):  # another version stored it
                    found[job_no] = JobSpec.from_json(spec)
                    self.keep(job_no, found[job_no])
        return found
