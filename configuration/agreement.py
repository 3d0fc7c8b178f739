"""A process's standing towards the configuration in force; it commits its own configuration if there is none."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version

import structlog

from configuration.applying import apply_first, compare
from configuration.content import Configuration, Content, read_configuration
from db.engine import REJECTED, UNAVAILABLE, Connection, Engine, create_engine, in_transaction
from db.schema import require_schema
from db.workers import Standing
from runtime.config_file import ConfigFile
from runtime.errors import StartError
from runtime.settings import Settings

START_SECONDS = 2.0
NOTHING_COMMITTED = (
    "Nothing is configured: apply a file by `breakwater config apply FILE`, set BREAKWATER_CONFIG to one, or set "
    "BREAKWATER_SIMULATE=true to have the built-in echo stand in for every provider."
)
SIMULATE_REFUSED = (
    "BREAKWATER_SIMULATE is true, but configuration {number} with real providers is committed: unset it, or apply "
    "`breakwater config apply --simulate`."
)


def given_content(settings: Settings) -> Content | None:
    """Return the content that this process may commit first: its file, `echo` for every provider, or None."""
    if settings.file is None and not settings.simulate:
        return None
    return Content(settings.file or ConfigFile(), settings.simulate)


async def join_configuration(engine: Engine, settings: Settings, *, by: str) -> Configuration:
    """Return the configuration in force; commit this process's own if there is none.

    Raises StartError, and SchemaNotServed before it reads or writes anything else.
    """

    async def unit(connection: Connection) -> Configuration:
        await require_schema(connection)
        return await join_in(connection, settings, by=by)

    return await in_transaction(engine, unit)


async def join_in(connection: Connection, settings: Settings, *, by: str) -> Configuration:
    """Return the configuration in force as `join_configuration`, in the caller's transaction."""
    given = given_content(settings)
    if given is None:
        found = await read_configuration(connection)
        if found is None:
            raise StartError(NOTHING_COMMITTED)
        return found
    found = await apply_first(connection, given, by=by)
    refuse_simulating(settings, found)
    return found


def refuse_simulating(settings: Settings, configuration: Configuration) -> None:
    """Raise StartError if BREAKWATER_SIMULATE asks for echo and a real configuration is in force."""
    if settings.simulate and not configuration.content.is_simulated:
        raise StartError(SIMULATE_REFUSED.format(number=configuration.number))


def check_at_start(settings: Settings) -> None:
    """Raise StartError if this process can't start; an unavailable database is waited for later. Outside a loop."""

    async def check() -> None:
        engine = create_engine(settings.database_url or "", size=1, name="breakwater-start")
        try:
            async with asyncio.timeout(START_SECONDS):
                await join_configuration(engine, settings, by=f"api on {socket.gethostname()}")
        finally:
            await engine.dispose()

    with suppress(*UNAVAILABLE, *REJECTED):
        asyncio.run(check())


def agree(settings: Settings, configuration: Configuration, not_served: Mapping[str, str]) -> Standing:
    """Return the process's standing towards a configuration; log the differences for the operator."""
    differing = _differing(settings, configuration)
    state = "none" if settings.file is None else "differs" if differing else "same"
    log = structlog.stdlib.get_logger()
    if configuration.content.is_simulated:
        log.warning("simulating", configuration=configuration.number, detail="No provider is asked: echo stands in.")
    if differing:
        log.warning(
            "configuration_differs", file=str(settings.config), configuration=configuration.number, differs=differing
        )
    for name, reason in not_served.items():
        log.warning("not_served", name=name, reason=reason)
    return Standing(version("breakwater"), configuration.number, state, not_served)


def _differing(settings: Settings, configuration: Configuration) -> Sequence[str]:
    """Return the places where the process's file differs. A file without providers matches a simulation, too."""
    if settings.file is None:
        return ()
    is_simulated = settings.simulate if settings.file.providers else configuration.content.is_simulated
    change = compare(configuration, Content(settings.file, is_simulated))
    return [*change.settings] or [str(key) for key in (*change.appeared, *change.vanished, *change.changed)]
