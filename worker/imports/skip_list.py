"""The jobs that this worker skips for a while, since its configuration doesn't know their sources."""

import time

SKIPPED_SECONDS = 15.0


class SkipList:
    """Forgets each job after a while, so that a job whose source no worker knows is still tried until it fails."""

    def __init__(self, seconds: float = SKIPPED_SECONDS) -> None:
        self._seconds = seconds
        self._until_by_job: dict[int, float] = {}

    def add(self, job_no: int) -> None:
        """Skip this job from now on."""
        self._until_by_job[job_no] = time.monotonic() + self._seconds

    @property
    def job_nos(self) -> frozenset[int]:
        """The jobs that are skipped now."""
        now = time.monotonic()
        self._until_by_job = {job_no: until for job_no, until in self._until_by_job.items() if until > now}
        return frozenset(self._until_by_job)

    @property
    def seconds(self) -> float | None:
        """The seconds until the next job is tried again; None if there is none."""
        first = min(self._until_by_job.values(), default=None)
        return None if first is None else max(0.0, first - time.monotonic())
