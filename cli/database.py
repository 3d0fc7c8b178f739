"""Commands that work on the database of the settings, without an API."""

import asyncio
import getpass
import socket
from collections.abc import Awaitable, Callable
from typing import TypeVar

from db.engine import REJECTED, UNAVAILABLE, Connection, Engine, create_engine, in_transaction
from runtime.errors import StartError
from runtime.settings import Settings, redacted

Result = TypeVar("Result")


def transact(settings: Settings, unit: Callable[[Connection], Awaitable[Result]]) -> Result:
    """Run a transaction; raises as `run_on`."""
    return run_on(settings, lambda engine: in_transaction(engine, unit))


def run_on(settings: Settings, work: Callable[[Engine], Awaitable[Result]]) -> Result:
    """Work on the database; raises StartError where it can't be reached or isn't migrated."""
    url = settings.database_url or ""

    async def run() -> Result:
        engine = create_engine(url, size=1, name="breakwater-command")
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    try:
        return asyncio.run(run())
    except (*UNAVAILABLE, *REJECTED) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StartError(
            f"The database at {redacted(url)} can't be asked ({reason}): look at BREAKWATER_DATABASE_URL, "
            "and run `breakwater migrate` first."
        ) from error


def actor() -> str:
    """Return the actor: the account and the machine."""
    try:
        account = getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in a container
        account = "somebody"
    return f"{account} on {socket.gethostname()}"
