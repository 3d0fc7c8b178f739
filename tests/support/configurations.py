"""Configurations of tests: the simulated one that every database starts with, and files applied as the command does."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from configuration.applying import Applied, apply, move_jobs
from configuration.content import Content, registry_of
from db.batches import Pools
from db.engine import Engine, create_engine, in_transaction
from domain.identities import of_provider
from domain.registry import DEFAULT_REGIONS
from runtime.config_file import ConfigFile, read_config_file

SIMULATED = Content(is_simulated=True)
CONFIGURATION_NO = 1
"""The number of the simulated configuration in every fresh database."""
REGISTRY = registry_of(SIMULATED, max_cells=10_000, number=CONFIGURATION_NO)
IDENTITY_NOS = {of_provider("echo", region.name): number for number, region in enumerate(DEFAULT_REGIONS, 1)}
"""The numbers of its identities: they are entered in this order."""
IDENTITY_BY_POOL = {(key.name, key.region): number for key, number in IDENTITY_NOS.items()}
POOLS: Pools = {pool: [number] for pool, number in IDENTITY_BY_POOL.items()}


async def commit(engine: Engine, content: Content, *, moves_jobs: bool = False) -> Applied:
    """Apply a configuration as `breakwater config apply` does, but for the notice."""
    applied = await in_transaction(engine, lambda c: apply(c, content, by="a test"))
    if not (moves_jobs or applied.holds_more):
        return applied
    return await move_jobs(engine, applied, by="a test", on_moved=notify_nobody, to_other_services=moves_jobs)


async def notify_nobody() -> None:
    """Stand for the notice that jobs were moved."""


def commit_at(database_url: str, content: Content, *, moves_jobs: bool = False) -> Applied:
    """Do so at a URL, from anywhere, a running event loop included."""

    async def run() -> Applied:
        engine = create_engine(database_url, size=1, name="test-config")
        try:
            return await commit(engine, content, moves_jobs=moves_jobs)
        finally:
            await engine.dispose()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(run())).result()


def commit_file(database_url: str, path: Path | str, *, moves_jobs: bool = False) -> Applied:
    """Apply a TOML file; one without providers is simulated, as under `make run`."""
    file = read_config_file(Path(path))
    return commit_at(database_url, Content(file, is_simulated=not file.providers), moves_jobs=moves_jobs)


def content_of(file: Mapping[str, object]) -> Content:
    """Return what a file with this content says."""
    return Content(ConfigFile.model_validate(file))
