"""The `breakwater` command; a failure at start ends it with a sentence and an exit code."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from cli import jobs
from cli.configuration import config
from cli.contract import openapi
from cli.doctor import doctor
from cli.keys import keys, tenants
from cli.service import api, migrate, run, worker
from cli.sessions import sessions
from runtime.errors import StartError

CLIENT = "Jobs, over the network (BREAKWATER_URL, BREAKWATER_API_KEY)"
SERVICE = "The service"
OPERATION = "Its configuration, tenants and keys, on the stores"

app = typer.Typer(
    name="breakwater",
    help="An HTTP job service in which nothing runs twice, runs in the wrong place, or gets lost.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer passes it so
    if asked:
        typer.echo(f"breakwater {version('breakwater')}")
        raise typer.Exit


@app.callback()
def breakwater(
    *,
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options of every command."""


for name, command in (
    ("submit", jobs.submit),
    ("watch", jobs.watch_jobs),
    ("jobs", jobs.list_jobs),
    ("job", jobs.show_job),
    ("executions", jobs.list_executions),
    ("cancel", jobs.cancel),
    ("retry", jobs.retry),
):
    app.command(name, rich_help_panel=CLIENT)(command)
app.command(rich_help_panel=CLIENT)(doctor)
app.add_typer(jobs.dead, name="dead", rich_help_panel=CLIENT)
for process in (run, api, worker, migrate, openapi):
    app.command(rich_help_panel=SERVICE)(process)
for name, group in (("config", config), ("tenants", tenants), ("keys", keys), ("sessions", sessions)):
    app.add_typer(group, name=name, rich_help_panel=OPERATION)


def main() -> None:
    """Run the command of this process's arguments."""
    try:
        app()
    except StartError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
