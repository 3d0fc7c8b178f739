"""How every run of the tests is set up. Fixtures that more than one folder uses are plugins of `tests/support`."""

import warnings
from collections.abc import Generator

import pytest
import structlog
from hypothesis import HealthCheck, settings

from cli.loading import loading

# Whether a change passes is about the change: its examples are always the same. `make test-properties` draws new ones.
# How long they take to draw shows how loaded the machine is.
settings.register_profile("same examples", derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("new examples", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same examples")

# A traceback that is drawn with the values of every frame takes seconds, in which the event loop serves nobody.
structlog.configure(
    processors=[
        structlog.stdlib.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

pytest.register_assert_rewrite("tests.support")
pytest_plugins = [
    "tests.support.groups",
    "tests.support.connections",
    "tests.support.controls",
    "tests.support.cut_answers",
    "tests.support.dashboards",
    "tests.support.engines",
    "tests.support.erp_source",
    "tests.support.gateway",
    "tests.support.mariadb",
    "tests.support.provider_server",
    "tests.support.quotas",
    "tests.support.repeated_ids",
    "tests.support.service",
    "tests.support.workers",
]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # Every async fixture here is of function scope, so the default that the plugin warns about doesn't matter.
    warnings.filterwarnings("ignore", message='The configuration option "asyncio_default_fixture_loop_scope" is unset')


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Load the tests: a million objects, each walked by every collection, took 11.2 s of CPU and take 7.2 s."""
    with loading():
        return (yield)


SLOW_FOLDERS = ("launcher", "upgrades", "corpus", "incidents", "faults", "worker", "sources", "cli", "deploy", "docs")
"""Their files go first, so that no process is left with a slow one at the end; before them those that run apart."""
APART = ("quiet", "alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    order = {folder: place for place, folder in enumerate(SLOW_FOLDERS)}

    def place(item: pytest.Item) -> int:
        marked = [number for number, mark in enumerate(APART) if item.get_closest_marker(mark)]
        return marked[0] - len(APART) if marked else order.get(item.path.parent.name, len(order))

    items.sort(key=place)
