"""GET /metrics: each series moves when its event happens, and agrees with the database."""

import ast
import asyncio
import itertools
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.fleet import FleetView
from api.services import Services
from broker import envelopes
from broker.envelopes import Client, Envelope
from db import counters, workers
from db.audit import MUST_BE_ZERO
from db.counters import increment
from db.engine import create_engine, in_transaction
from db.leadership import RECONCILING, lead
from runtime import metrics
from runtime.histograms import Histograms
from runtime.metrics import (
    ANSWERS,
    COORDINATION_SECONDS,
    COUNTERS,
    EXECUTION_DURATION,
    EXECUTIONS,
    GAUGES,
    HISTOGRAMS,
    QUEUE_WAIT,
    Series,
)
from tests.support.job_seeds import Seeds
from tests.support.metrics import fleet_value, scrape_samples
from tests.support.programs import require_program
from tests.support.reading_app import reading_app, replace_services

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=COUNTERS, ids=lambda series: series.name)
def counter(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_each_counter_shows_the_counted_events(reader: httpx2.AsyncClient, seeds: Seeds, counter: Any) -> None:
    labels = {label: f"{label}-1" for label in counter.labels}
    assert fleet_value(await scrape_samples(reader), f"{counter.name}_total", **labels) == (None if labels else 0)
    for times in (1, 2):
        await in_transaction(
            seeds.engine, lambda c: counters.add(c, seeds.worker_no, [increment(counter.name, 3, **labels)])
        )
        await in_transaction(seeds.engine, lambda c: counters.add(c, 99, [increment(counter.name, 1, **labels)]))
        assert fleet_value(await scrape_samples(reader), f"{counter.name}_total", **labels) == 4 * times


async def test_counters_are_0_before_they_first_move(reader: httpx2.AsyncClient) -> None:
    samples = await scrape_samples(reader)
    for series in COUNTERS:
        for values in series.zeros:
            labels = dict(zip(series.labels, values, strict=True))
            assert fleet_value(samples, f"{series.name}_total", **labels) == 0
    assert [series for series in COUNTERS if not series.zeros] == [EXECUTIONS, *ANSWERS]


async def test_counters_of_answers_are_0_in_each_pool_that_is_called(reader: httpx2.AsyncClient, rows: Any) -> None:
    await rows.execute("INSERT INTO pools (provider, region) VALUES ('p', 'r')")
    samples = await scrape_samples(reader)
    assert [fleet_value(samples, f"{series.name}_total", provider="p", region="r") for series in ANSWERS] == [0, 0, 0]


def increments_in_code() -> Iterator[tuple[Series, Mapping[str, str]]]:
    """Each series that the code counts, with the values of labels that are written out there."""
    for path in (*ROOT.glob("api/**/*.py"), *ROOT.glob("worker/**/*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "increment":
                series = getattr(metrics, ast.unparse(call.args[0]).removesuffix(".name"), None)
                if series is not None:
                    yield (
                        series,
                        {
                            keyword.arg: keyword.value.value
                            for keyword in call.keywords
                            if isinstance(keyword.value, ast.Constant)
                        },
                    )  # type: ignore[misc]


def test_every_counter_is_0_before_it_counts() -> None:
    found = [(series, written) for series, written in increments_in_code() if series.zeros and written]
    assert len(found) > 10
    for series, written in found:
        zeros = [dict(zip(series.labels, values, strict=True)) for values in series.zeros]
        assert any(written.items() <= zero.items() for zero in zeros), (series.name, written)


async def test_cells_of_a_provider_that_is_called_count_from_0_for_each_end(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    """Where the first thousand fail between two scrapes, `increase` would see none of them."""
    await rows.execute("INSERT INTO pools (provider, region) VALUES ('openai', 'us-east')")
    ends = [increment("breakwater_executions", 3, status="failed", provider="openai", region="us-east")]
    await in_transaction(seeds.engine, lambda c: counters.add(c, seeds.worker_no, ends))
    samples = await scrape_samples(reader)
    shown = {
        (dict(labels)["provider"], dict(labels)["status"]): count
        for (name, labels), count in samples.items()
        if name == "breakwater_executions_total" and dict(labels)["provider"] == "openai"
    }
    assert shown == {
        ("openai", status): 3 if status == "failed" else 0 for status in ("completed", "failed", "cancelled", "unknown")
    }


async def test_no_counter_falls_to_0_while_postgresql_does_not_answer(
    reader: httpx2.AsyncClient, seeds: Seeds, unused_tcp_port: int
) -> None:
    """Else all that was ever counted would be the increase of the first scrape after it, and alerts would fire."""
    before = {name for name, _ in await scrape_samples(reader) if name.startswith("breakwater_")}
    unreachable = create_engine(f"postgresql://u@127.0.0.1:{unused_tcp_port}/d")
    services: Services = reader.app.state.services  # type: ignore[attr-defined]
    fleet = FleetView(unreachable, services.redis, services.settings, version="9.9.9")
    replace_services(reader, engine=unreachable, fleet=fleet)
    samples = await scrape_samples(reader)
    assert fleet_value(samples, "breakwater_store_available", store="postgresql") == 0
    shown = {name for name, _ in samples if name.startswith("breakwater_")}
    assert {name for name in before if name.endswith(("_total", "_bucket", "_sum", "_count"))}
    assert not {name for name in shown if name.endswith(("_total", "_bucket", "_sum", "_count"))}
    await unreachable.dispose()


async def test_histograms_sum_up_every_worker_dead_ones_too(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    histograms = Histograms()
    for series in HISTOGRAMS:
        histograms[series].observe(0.02, 3)
    for worker_id in ("w-1", "w-2"):

        async def leave(connection: Any, worker_id: str = worker_id) -> None:
            worker = await workers.register(connection, worker_id=worker_id, role="worker", pid=1, host="h")
            await workers.beat(connection, worker.worker_no, running=0, metrics=histograms.snapshot())
            if worker_id == "w-1":
                await workers.stop(connection, worker.worker_no, metrics=histograms.snapshot())

        await in_transaction(seeds.engine, leave)
    samples = await scrape_samples(reader)
    for series in (EXECUTION_DURATION, QUEUE_WAIT, COORDINATION_SECONDS):
        assert fleet_value(samples, f"{series.name}_count") == 6
        assert fleet_value(samples, f"{series.name}_sum") == pytest.approx(0.12)
        assert fleet_value(samples, f"{series.name}_bucket", le="+Inf") == 6
        assert fleet_value(samples, f"{series.name}_bucket", le="0.005") == 0


async def test_a_repeated_transaction_shows_with_the_next_heartbeat(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    tries = itertools.count()

    async def meet_a_conflict_once(connection: Any) -> None:
        if next(tries) == 0:
            await connection.execute("DO $$ BEGIN RAISE EXCEPTION 'met' USING ERRCODE = '40001'; END $$")

    async def shown() -> float:
        await in_transaction(seeds.engine, lambda c: workers.beat(c, seeds.worker_no, running=0, metrics={}))
        found = fleet_value(
            await scrape_samples(reader), "breakwater_transactions_repeated_total", reason="SerializationError"
        )
        return found or 0

    before = await shown()
    await in_transaction(seeds.engine, meet_a_conflict_once)
    assert await shown() == before + 1


async def test_the_queue_is_measured(reader: httpx2.AsyncClient, redis_client: Client) -> None:
    assert fleet_value(await scrape_samples(reader), "breakwater_queue_depth") == 0
    await envelopes.publish(redis_client, [Envelope(job=1, source="initial", enqueued_at=time.time())] * 2)
    samples = await scrape_samples(reader)
    assert fleet_value(samples, "breakwater_queue_depth") == 2
    assert (fleet_value(samples, "breakwater_queue_oldest_age_seconds") or -1) >= 0


async def test_the_age_of_a_live_workers_heartbeat_is_measured(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    await rows.execute("UPDATE workers SET heartbeat_at = now() - interval '10 seconds'")
    age = fleet_value(await scrape_samples(reader), "breakwater_worker_heartbeat_age_seconds", worker="w-seeds")
    assert age == pytest.approx(10, abs=5)


async def test_the_time_without_a_leader_is_measured(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    assert fleet_value(await scrape_samples(reader), "breakwater_leader_idle_seconds") is None
    await lead(seeds.engine, RECONCILING, seeds.worker_no, lease_seconds=60)
    await rows.execute("UPDATE leaders SET worked_at = now() - interval '90 seconds'")
    assert fleet_value(await scrape_samples(reader), "breakwater_leader_idle_seconds") == pytest.approx(90, abs=20)


async def test_a_violation_shows_within_a_recount(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, monkeypatch: Any
) -> None:
    await seeds.submit()
    await seeds.run_all()
    sound = await scrape_samples(reader)
    assert {name: fleet_value(sound, "breakwater_invariant_violations", invariant=name) for name in MUST_BE_ZERO} == (
        dict.fromkeys(MUST_BE_ZERO, 0)
    )
    await rows.execute("UPDATE waves SET total_batches = 9")
    kept = await scrape_samples(reader)
    assert fleet_value(kept, "breakwater_invariant_violations", invariant="waves_differ") == 0
    monkeypatch.setattr("api.fleet.AUDIT_SECONDS", 0)
    assert fleet_value(await scrape_samples(reader), "breakwater_invariant_violations", invariant="waves_differ") == 1


async def test_the_version_is_reported(reader: httpx2.AsyncClient) -> None:
    assert fleet_value(await scrape_samples(reader), "breakwater_build_info", version="9.9.9") == 1


async def test_every_series_is_described(reader: httpx2.AsyncClient) -> None:
    text = (await reader.get("/metrics")).text
    for series in (*COUNTERS, *HISTOGRAMS, *GAUGES):
        assert f"# HELP {series.name}" in text


async def test_requests_are_counted_by_template_only(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    before = await scrape_samples(reader)
    for path in (f"/jobs/{job.id}", "/jobs/other", "/nowhere/1", "/nowhere/2", "/jobs"):
        await reader.get(path)
    after = await scrape_samples(reader)
    counted = {
        (labels["handler"], labels["status"]): count - before.get((name, given), 0)
        for (name, given), count in after.items()
        if name == "http_requests_total" and count > before.get((name, given), 0) and (labels := dict(given))
    }
    assert counted == {
        ("/jobs/{job_id}", "200"): 1,
        ("/jobs/{job_id}", "404"): 1,
        ("/jobs", "200"): 1,
        ("none", "404"): 2,
    }
    handlers = {dict(labels).get("handler") for name, labels in after if name.startswith("http_")}
    assert not [handler for handler in handlers if handler and (job.id in handler or "nowhere" in handler)]


async def test_without_either_store_there_is_still_an_answer(redis_client: Client) -> None:
    engine = create_engine("postgresql://u:p@127.0.0.1:1/d")
    absent = envelopes.connect("redis://127.0.0.1:1/0")
    async with reading_app(engine, absent, 1) as client:
        samples = await scrape_samples(client)
    assert fleet_value(samples, "breakwater_build_info", version="9.9.9") == 1
    assert fleet_value(samples, "breakwater_queue_depth") is None
    await absent.aclose()
    await engine.dispose()


async def test_a_linter_of_metrics_has_nothing_to_say(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    await seeds.submit()
    await seeds.run_all()
    await reader.get("/jobs")
    text = (await reader.get("/metrics")).text
    linted = await asyncio.to_thread(
        subprocess.run,
        [require_program("promtool"), "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")
