"""The commands that read and change the configuration in force; `config` alone only checks settings and file."""

from pathlib import Path
from typing import Annotated

import typer

from cli.inspection import print_settings
from cli.loading import loading

# Each command imports its modules when it runs: other commands don't need the stores.
# ruff: noqa: PLC0415

DIFFERENT = 1
"""The exit code of `config diff` where applying the file would change something."""
GivenFile = Annotated[Path | None, typer.Argument(help="A TOML file.", show_default=False)]

config = typer.Typer(
    help="Print the effective settings and the file that BREAKWATER_CONFIG names, without passwords and keys.",
    invoke_without_command=True,
)


@config.callback()
def print_effective(context: typer.Context) -> None:
    """Print the effective settings and the file that BREAKWATER_CONFIG names, without passwords and keys."""
    if context.invoked_subcommand is None:
        print_settings()


@config.command("apply")
def apply(
    file: GivenFile = None,
    *,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Let the built-in echo stand in for every provider.")
    ] = False,
    move_jobs: Annotated[
        bool,
        typer.Option("--move-jobs", help="Accept anew the open jobs whose provider, connection or root has changed."),
    ] = False,
    if_none: Annotated[
        bool, typer.Option("--if-none", help="Do nothing where a configuration is committed already.")
    ] = False,
) -> None:
    """Commit a configuration; every process follows at once. Says what it changes and which open jobs it holds."""
    with loading():
        from cli import applying

    content = applying.content_of(file, simulate=simulate)
    lines = applying.apply_first(content) if if_none else applying.apply_now(content, moves_jobs=move_jobs)
    for line in lines:
        typer.echo(line)


@config.command("show")
def show() -> None:
    """Print the configuration in force: its number, when and by whom it was applied, and its content as TOML."""
    with loading():
        from cli import applying

    for line in applying.show():
        typer.echo(line)


@config.command("diff")
def diff(
    file: GivenFile = None,
    *,
    simulate: Annotated[bool, typer.Option("--simulate", help="Compare with a simulation.")] = False,
) -> None:
    """Say what `apply` would change, and change nothing. Exits with 1 if it would change anything."""
    with loading():
        from cli import applying

    changes = applying.changes(applying.content_of(file, simulate=simulate))
    for line in changes or ["Nothing would change."]:
        typer.echo(line)
    if changes:
        raise typer.Exit(DIFFERENT)
