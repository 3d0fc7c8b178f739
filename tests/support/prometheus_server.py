"""A real Prometheus on a port and a folder of its own, which scrapes what it is given."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from tests.support.programs import require_program
from tests.support.service import free_port
from tests.support.waiting import eventually

CONFIGURATION = """
global: {{scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms}}
rule_files: ['{rules}']
scrape_configs:
  - job_name: breakwater
    static_configs: [{{targets: ['{target}']}}]
"""


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    http: httpx2.Client

    def get(self, path: str, **parameters: str | float) -> Any:
        """The `data` of an answer of its API."""
        answer = self.http.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, (parameters, answer.text)
        return answer.json()["data"]

    def samples(self, query: str, *, seconds: float = 60, step: float = 0.5) -> list[Any]:
        """The series of a query over the last `seconds`, as a board asks for them."""
        now = float(self.get("query", query="time()")["result"][1])
        found = self.get("query_range", query=query, start=now - seconds, end=now, step=step)
        return list(found["result"])


@contextmanager
def prometheus(folder: Path, *, target: str, rules: Path) -> Iterator[Prometheus]:
    """Run Prometheus until the block ends; `target` is the URL of a service that has /metrics."""
    program = require_program("prometheus")
    configuration = folder / "prometheus.yml"
    configuration.write_text(CONFIGURATION.format(rules=rules, target=urlsplit(target).netloc))
    address = f"127.0.0.1:{free_port()}"
    command = [
        program,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (folder / "prometheus.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        with httpx2.Client(base_url=f"http://{address}", timeout=10) as http:
            eventually(lambda: _is_ready(http, process), seconds=30, what="Prometheus is ready")
            yield Prometheus(http)
    finally:
        process.terminate()
        process.wait(15)


def _is_ready(http: httpx2.Client, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None, "Prometheus ended"
    try:
        return http.get("/-/ready").status_code == 200
    except httpx2.TransportError:
        return False
