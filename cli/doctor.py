"""The command that looks at a service as an operator would."""

from typing import TYPE_CHECKING

import typer

from cli.jobs import AsJson, Url
from cli.loading import loading

if TYPE_CHECKING:
    from cli.remote.running import Work

# ruff: noqa: PLC0415 - completion and help don't need what the command needs


def doctor(*, url: Url = None, as_json: AsJson = False) -> None:
    """Check a service and say what to do: its stores, workers, pauses, stuck work, promises, and your key.

    Exits with 1 if something is failing. On the machine of the service it looks at its settings and stores, too.
    """
    with loading():
        from cli.local_checks import check_this_machine
        from cli.remote import doctor as examination
        from cli.remote import running
        from cli.remote.address import read_address

    def prepare() -> "Work":
        local = list(check_this_machine()) if read_address(url).is_loopback else []
        return lambda service: examination.examine(service, local, as_json=as_json)

    raise typer.Exit(running.ask(url, prepare, retry_seconds=0))
