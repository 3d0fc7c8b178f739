"""The `breakwater` command; a failure at start ends it with a sentence and an exit code."""

import sys

import typer

from cli.configuration import config
from cli.contract import openapi
from cli.keys import keys, tenants
from cli.service import api, migrate, run, worker
from cli.sessions import sessions
from runtime.errors import StartError

app = typer.Typer(
    name="breakwater",
    help="An HTTP job service in which nothing runs twice, runs in the wrong place, or gets lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (run, api, worker, migrate, openapi):
    app.command()(command)
app.add_typer(config, name="config")
app.add_typer(tenants, name="tenants")
app.add_typer(keys, name="keys")
app.add_typer(sessions, name="sessions")


def main() -> None:
    """Run the command of this process's arguments."""
    try:
        app()
    except StartError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
