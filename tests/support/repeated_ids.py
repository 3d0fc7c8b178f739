"""Tests of the same id are refused: when several processes share the tests, only one of them would run.

A plugin of pytest.
"""

from collections import Counter
from collections.abc import Iterable

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not hasattr(config, "workerinput"):  # which gets this from the process that shares out the tests
        _refuse_repeated(item.nodeid for item in items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(ids: list[str]) -> None:
    _refuse_repeated(ids)


def _refuse_repeated(node_ids: Iterable[str]) -> None:
    if repeated := [node_id for node_id, count in Counter(node_ids).items() if count > 1]:
        pytest.exit(f"Several tests have the same id: {', '.join(repeated)}", pytest.ExitCode.USAGE_ERROR)
