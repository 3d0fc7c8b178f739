"""What `doctor` looks at on the machine of the service: settings, and whether the stores serve."""

import asyncio
from collections.abc import Iterator

from api import broker_state
from broker import envelopes
from broker.health import State
from cli.remote.findings import Finding, failing, ok, warning
from cli.service import joined
from db.engine import UNAVAILABLE, connect, create_engine, probe
from db.schema import read_schema
from runtime.errors import SettingError, StartError
from runtime.settings import Settings, load_settings, redacted

SECONDS = 5.0


def check_this_machine() -> Iterator[Finding]:
    """Yield what is found of the settings and stores; nothing where no service of this machine is known."""
    try:
        settings = load_settings()
        if not (settings.database_url and settings.redis_url):
            settings = joined(settings)
    except SettingError as error:
        yield failing("settings", str(error), "Correct it: the service's processes don't start with it.")
        return
    except StartError:
        return
    yield ok("settings", "valid; `breakwater config` prints them")
    yield asyncio.run(_check_database(settings))
    yield asyncio.run(_check_broker(settings))


async def _check_database(settings: Settings) -> Finding:
    url = settings.database_url or ""
    where = f"PostgreSQL at {redacted(url)}"
    if failure := await probe(url):
        return failing("database", f"{where}: {failure.reason}", "Look at BREAKWATER_DATABASE_URL.")
    engine = create_engine(url, size=1, name="breakwater-doctor")
    try:
        async with connect(engine, seconds=SECONDS) as connection:
            schema = await read_schema(connection)
    except UNAVAILABLE as error:
        return failing("database", f"{where}: {error}", "Look at BREAKWATER_DATABASE_URL.")
    finally:
        await engine.dispose()
    if schema.mismatch:
        return failing("database", f"{where}: {schema.mismatch}", "As it says.")
    return ok("database", f"{where} answers; schema {schema.revision}")


async def _check_broker(settings: Settings) -> Finding:
    url = settings.redis_url or ""
    client = envelopes.connect(url)
    try:
        checked = await broker_state.check(client)
    finally:
        await client.aclose()
    where = f"Redis at {redacted(url)}"
    if checked.state is State.AVAILABLE:
        return ok("broker", f"{where} takes writes; {checked.version}")
    return warning("broker", f"{where}: {checked.detail}", "Jobs are accepted and run without it, only later.")
