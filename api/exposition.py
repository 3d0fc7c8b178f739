"""The fleet's series in the Prometheus text format, from the state that a scrape read."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from runtime.histograms import Histograms
from runtime.metrics import ANSWERS, COUNTERS, EXECUTIONS, FLEET, GAUGES, HISTOGRAMS, Series


@dataclass(frozen=True, slots=True)
class Fleet:
    """The results of a scrape: counters and gauges as (series name, labels, value), and the fleet's histograms.

    If PostgreSQL didn't answer, counters and histograms are None and left out: a 0 would look like a restart, and the
    next scrape would show their whole count as an increase.
    """

    counters: Iterable[tuple[str, Mapping[str, str], float]] | None
    gauges: Iterable[tuple[Series, Mapping[str, str], float]]
    histograms: Histograms | None


def render(fleet: Fleet) -> bytes:
    """Return the fleet's series in the Prometheus text format."""
    registry = CollectorRegistry()
    registry.register(_FleetCollector(fleet))
    return generate_latest(registry)


class _FleetCollector(Collector):
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def collect(self) -> Iterator[Metric]:
        if self._fleet.counters is not None:
            yield from self._counters(self._fleet.counters)
        yield from self._gauges()
        if self._fleet.histograms is not None:
            yield from self._histograms(self._fleet.histograms)

    def _counters(self, counters: Iterable[tuple[str, Mapping[str, str], float]]) -> Iterator[Metric]:
        counts: dict[str, dict[tuple[str, ...], float]] = {
            series.name: {(*values, FLEET): 0.0 for values in series.zeros} for series in COUNTERS
        }
        series_by_name = {series.name: series for series in COUNTERS}
        for name, labels, value in counters:
            if name in counts:
                counts[name][_values(series_by_name[name], labels)] = value
        for _, *pool in counts[EXECUTIONS.name]:
            for series in ANSWERS:
                counts[series.name].setdefault(tuple(pool), 0.0)
        for name, series in series_by_name.items():
            family = _family(CounterMetricFamily, series)
            for values, value in counts[name].items():
                family.add_metric(values, value)
            yield family

    def _gauges(self) -> Iterator[Metric]:
        families = {series.name: _family(GaugeMetricFamily, series) for series in GAUGES}
        for series, labels, value in self._fleet.gauges:
            families[series.name].add_metric(_values(series, labels), value)
        yield from families.values()

    def _histograms(self, histograms: Histograms) -> Iterator[Metric]:
        for series in HISTOGRAMS:
            family = _family(HistogramMetricFamily, series)
            histogram = histograms[series]
            cumulated = 0
            buckets: list[tuple[str, float]] = []
            for bound, count in zip((*map(str, histogram.bounds), "+Inf"), histogram.counts, strict=True):
                cumulated += count
                buckets.append((bound, cumulated))
            family.add_metric([FLEET], buckets, histogram.sum)
            yield family


def _family(kind: type[Any], series: Series) -> Any:
    return kind(series.name, series.help, labels=[*series.labels, "scope"])


def _values(series: Series, labels: Mapping[str, str]) -> tuple[str, ...]:
    return (*(labels.get(label, "") for label in series.labels), FLEET)
