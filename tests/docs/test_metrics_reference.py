"""The reference of metrics has every series of the fleet, with its type, labels and help text."""

from runtime.metrics import COUNTERS, GAUGES, HISTOGRAMS, Series
from tests.support.documentation import names_in, table


def _row(series: Series, kind: str) -> list[str]:
    name = f"{series.name}_total" if kind == "counter" else series.name
    return [f"`{name}`", kind, ", ".join(f"`{label}`" for label in series.labels), series.help]


def test_the_reference_has_every_series_of_the_fleet() -> None:
    wanted = [_row(series, "counter") for series in COUNTERS]
    wanted += [_row(series, "histogram") for series in HISTOGRAMS] + [_row(series, "gauge") for series in GAUGES]
    assert table("docs/reference/metrics.md", "series", "type", "labels", "says") == wanted


def test_the_reference_explains_every_layer_that_prevents_duplicates() -> None:
    (counter,) = [series for series in COUNTERS if series.name == "breakwater_duplicates_prevented"]
    explained = {names_in(row[0])[0] for row in table("docs/reference/metrics.md", "`layer`", "what it stopped")}
    assert explained == {layer for layer, _ in counter.zeros}
