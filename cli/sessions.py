"""The commands about who is signed in to the pages; they work on the database."""

from typing import Annotated

import typer

from cli.keys import AsJson
from cli.loading import loading

# Each command imports its modules when it runs: other commands don't need the stores.
# ruff: noqa: PLC0415

sessions = typer.Typer(help="List who is signed in to the pages, and sign somebody out.", no_args_is_help=True)


@sessions.command("list")
def list_sessions(*, as_json: AsJson = False) -> None:
    """List the sessions that haven't ended."""
    with loading():
        from cli import administration

    for line in administration.list_sessions(as_json=as_json):
        typer.echo(line)


@sessions.command("end")
def end_session(session_id: Annotated[str, typer.Argument(help="The session's id.", show_default=False)]) -> None:
    """Sign somebody out, in every process within a second."""
    with loading():
        from cli import administration

    typer.echo(administration.end_session(session_id))
