"""The Grafana board and the alert rules against a real Prometheus that scrapes a running service."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.metrics import COUNTERS, GAUGES, HISTOGRAMS
from tests.deploy.alert_rules import ROOT, RULES, alerts
from tests.support.cut_answers import MODELS
from tests.support.metrics import SHORT_LEASES, has_ended
from tests.support.prometheus_server import Prometheus, prometheus
from tests.support.service import StartProcess, api_client, unique
from tests.support.waiting import eventually, eventually_async

BOARD = ROOT / "deploy" / "grafana" / "breakwater.json"
SERIES = re.compile(r"\b(?:breakwater|http|process)_[a-z0-9_]+\b")


def panels() -> Iterator[Any]:
    """The board's panels that show something."""
    return (panel for panel in json.loads(BOARD.read_text())["panels"] if panel["type"] != "row")


def queries() -> list[tuple[str, str]]:
    """The (title of the panel, query) of everything that the board asks for."""
    return [
        (panel["title"], target["expr"].replace("$__rate_interval", "30s"))
        for panel in panels()
        for target in panel["targets"]
    ]


def test_the_board_asks_whichever_data_source_is_chosen() -> None:
    board = json.loads(BOARD.read_text())
    [variable] = board["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    asked = [panel["datasource"] for panel in panels()]
    asked += [target["datasource"] for panel in panels() for target in panel["targets"]]
    assert all(datasource == {"type": "prometheus", "uid": "${datasource}"} for datasource in asked)
    assert "id" not in board


def test_no_two_panels_of_the_board_lie_on_each_other() -> None:
    cells = [
        (x, y)
        for panel in json.loads(BOARD.read_text())["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    ids = [panel["id"] for panel in json.loads(BOARD.read_text())["panels"]]
    assert len(ids) == len(set(ids))


def test_the_board_shows_every_series_that_the_fleet_has() -> None:
    shown = set(SERIES.findall(" ".join(query for _, query in queries())))
    ours = {f"{series.name}_total" for series in COUNTERS} | {series.name for series in GAUGES}
    ours |= {f"{series.name}_bucket" for series in HISTOGRAMS}
    assert ours - shown == set()


def scraped(server: Prometheus) -> set[str]:
    return set(server.get("label/__name__/values"))


async def test_each_panel_and_each_rule_finds_data_in_a_prometheus_that_scrapes_a_service(
    database_url: str, redis_url: str, start_api: StartProcess, start_worker: StartProcess, cut_answers_config: Path
) -> None:
    api = start_api(database_url, redis_url, **SHORT_LEASES, config=cut_answers_config)
    start_worker(database_url, redis_url, **SHORT_LEASES, config=cut_answers_config, echo_failure_rate=0.5)
    async with api_client(api, database_url) as client:
        with prometheus(cut_answers_config.parent, target=api.url, rules=RULES) as server:
            eventually(lambda: server.get("query", query="max(breakwater_workers_alive) == 1")["result"], seconds=30)
            questions = [f"Question {number}?" for number in range(40)]
            body = unique(models=MODELS, questions=questions, policy={"max_attempts": 2})
            job_id = (await client.post(body)).json()["job"]["id"]
            assert (await client.post(body)).json()["outcome"] == "joined"
            await eventually_async(lambda: has_ended(client, job_id), seconds=30)
            await client.http.post("/regions/us-east/pause")
            await client.database.execute("INSERT INTO pools (provider, region, max_concurrent) VALUES ('p', 'r', 4)")
            needed = set(SERIES.findall(RULES.read_text() + json.dumps(queries())))
            eventually(lambda: needed <= scraped(server), seconds=20, what="every series that is named")

            def without_data() -> list[tuple[str, str]]:
                return [query for query in queries() if not server.samples(query[1])]

            eventually(lambda: not without_data(), seconds=20, what="data for each panel")
            assert server.samples("breakwater_absent") == []
            with pytest.raises(AssertionError, match="parse error"):
                server.samples("sum(breakwater_jobs")

            def due() -> list[Any]:
                found = server.get("query", query='ALERTS{alertname="BreakwaterDeadLetters"}')["result"]
                return [alert["metric"]["alertstate"] for alert in found]

            assert eventually(due, seconds=20, what="a rule that sees the dead letters") == ["pending"]
            rules = server.get("rules")["groups"][0]["rules"]
            assert [(rule["name"], rule["health"]) for rule in rules] == [(name, "ok") for name in alerts()]
