"""What /metrics says, as samples and as series of the fleet."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from tests.support.service import Client

Series: TypeAlias = dict[str, float]
Samples: TypeAlias = dict[tuple[str, tuple[tuple[str, str], ...]], float]

SHORT_LEASES: Mapping[str, object] = {"lease_seconds": 1, "heartbeat_seconds": 0.2, "reconcile_seconds": 0.5}
LABELS = {
    "breakwater_jobs_submitted_total": ("kind", "outcome"),
    "breakwater_duplicates_prevented_total": ("layer", "reason"),
    "breakwater_executions_total": ("status", "provider", "region"),
    "breakwater_coordination_total": ("source", "outcome"),
    "breakwater_retries_total": ("reason",),
}


async def scrape(http: httpx2.AsyncClient) -> dict[str, Series]:
    """The fleet's samples by name and by the values of their labels, without counters that didn't move yet."""
    found: dict[str, Series] = {}
    for family in text_string_to_metric_families((await http.get("/metrics")).text):
        for sample in family.samples:
            if family.type == "counter" and not sample.value:
                continue
            names = LABELS.get(sample.name, tuple(sorted(set(sample.labels) - {"scope"})))
            key = "/".join(sample.labels[name] for name in names)
            found.setdefault(sample.name, {})[key] = sample.value
    return found


async def has_ended(client: Client, job_id: str) -> bool:
    """Whether a job is terminal."""
    job: Any = (await client.http.get(f"/jobs/{job_id}")).json()
    return job["finished_at"] is not None


async def scrape_samples(reader: httpx2.AsyncClient) -> Samples:
    """Every sample by its name and labels."""
    answer = await reader.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def fleet_value(samples: Samples, name: str, **labels: str) -> float | None:
    """The value of a series of the whole fleet."""
    return samples.get((name, tuple(sorted({**labels, "scope": "fleet"}.items()))))
