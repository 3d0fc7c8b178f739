"""Everything that an API answers about its jobs: every route that reads, in every form."""

from dataclasses import dataclass
from typing import Any

import httpx2

FORMS = ("text/csv", "application/x-ndjson")
LISTS = (
    *("/jobs", "/executions", "/audit", "/datasets", "/operations", "/providers", "/questions", "/regions"),
    "/queue/dead",
)
OF_THE_MOMENT = ("/queue", "/livez", "/metrics", "/", "/docs", "/openapi.json")
"""What shows the fleet as it is just now; it is read and not compared."""
CHANGING = {"checked_at", "since", "until", "seconds_left", "rows_per_second", "links", "configured"}


ADDED = {
    "/providers": {"tenants": None},
    "/regions": {"tenants": None},
    "/operations": {"matched": None, "done": None, "skipped": None},
}
"""The members that this release added to the items of lists, as the configuration of these tests has them."""


def with_added(answers: dict[str, Any]) -> dict[str, Any]:
    """Return the answers of the release before, with the members that this one added."""
    more = {
        path: {**answers[path], "items": [item | added for item in answers[path]["items"]]}
        for path, added in ADDED.items()
    }
    return answers | more


async def read_every_route(http: httpx2.AsyncClient, *, jobs: int = 200) -> dict[str, Any]:
    """Return what is answered by path about the newest jobs, without what differs between two looks.

    Fails where anything isn't answered.
    """
    reader = _Reader(http, {})
    for path in OF_THE_MOMENT:
        assert (await http.get(path)).status_code == 200, path
    for path in LISTS:
        await reader.read(f"{path}?limit={jobs}" if path in {"/jobs", "/executions", "/audit"} else path)
    for job in reader.answers[f"/jobs?limit={jobs}"]["items"]:
        await reader.read_job(f"/jobs/{job['id']}")
    for dataset in reader.answers["/datasets"]["items"]:
        for record_type in dataset["record_types"]:
            await reader.read_forms(record_type["records"])
    return reader.answers


@dataclass(frozen=True)
class _Reader:
    http: httpx2.AsyncClient
    answers: dict[str, Any]

    async def read(self, path: str) -> Any:
        answer = await self.http.get(path)
        assert answer.status_code == 200, (path, answer.text)
        self.answers[path] = without_changing(answer.json())
        return self.answers[path]

    async def read_forms(self, path: str) -> Any:
        """Read a list by its first page, and as each kind of file."""
        for form in FORMS:
            answer = await self.http.get(path, headers={"Accept": form})
            assert answer.status_code == 200, (path, form, answer.text)
            self.answers[f"{path} {form}"] = answer.text
        return await self.read(path)

    async def read_job(self, path: str) -> None:
        job = await self.read(path)
        for part in ("audit", "coordination", "events", "submissions", "waves"):
            await self.read(f"{path}/{part}")
        for wave in self.answers[f"{path}/waves"]["items"]:
            await self.read(f"{path}/waves/{wave['wave_number']}/batches")
        if job["kind"] == "import":
            await self.read_forms(f"{path}/rejects")
            return
        for execution in (await self.read_forms(f"{path}/executions"))["items"]:
            await self.read(f"/executions/{execution['id']}")


def without_changing(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_changing(member) for name, member in value.items() if name not in CHANGING}
    return [without_changing(member) for member in value] if isinstance(value, list) else value
