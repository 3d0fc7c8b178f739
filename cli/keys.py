"""The commands that make tenants and API keys; they work on the database, so that they can make the first key."""

from typing import Annotated

import typer

from cli.loading import loading
from domain.scopes import Scope

# Each command imports its modules when it runs: other commands don't need the stores.
# ruff: noqa: PLC0415

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
KeyId = Annotated[str, typer.Argument(help="The key's id: what stands between the underscores.", show_default=False)]

TenantName = Annotated[str, typer.Argument(help="Its name.", show_default=False)]
Limits = Annotated[
    list[str] | None,
    typer.Option(help="NAME=NUMBER of requests_per_second, active_jobs or cells_per_day; may be repeated."),
]

tenants = typer.Typer(help="Make, list and limit tenants, the owners of jobs and keys.", no_args_is_help=True)
keys = typer.Typer(help="Make, list, rotate and revoke API keys.", no_args_is_help=True)


@tenants.command("create")
def create_tenant(
    name: TenantName,
    *,
    limit: Limits = None,
    as_json: AsJson = False,
) -> None:
    """Make a tenant, which owns nothing yet; limits are over all its keys, access tokens and sessions."""
    with loading():
        from cli import administration

    limits = administration.limits_of(limit or [])
    typer.echo(administration.create_tenant({"name": name, "limits": limits}, as_json=as_json))


@tenants.command("limits")
def set_tenant_limits(
    name: TenantName,
    *,
    limit: Annotated[
        list[str],
        typer.Option(help="As of `keys create`, or NAME=none for no such limit; may be repeated. Others stay."),
    ],
    as_json: AsJson = False,
) -> None:
    """Set limits of a tenant over all its keys, access tokens and sessions; every process obeys within a second."""
    with loading():
        from cli import administration

    typer.echo(administration.set_tenant_limits(name, administration.changes_of(limit), as_json=as_json))


@tenants.command("list")
def list_tenants(*, as_json: AsJson = False) -> None:
    """List all tenants."""
    with loading():
        from cli import administration

    for line in administration.list_tenants(as_json=as_json):
        typer.echo(line)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="For people: what it is for.", show_default=False)],
    *,
    tenant: Annotated[str, typer.Option(help="The name of its tenant.", show_default=False)],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; may be repeated.")],
    expires_in: Annotated[str | None, typer.Option(help="After which it is refused: 90d, 12h, 15m, 30s.")] = None,
    limit: Limits = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key and print it, this once: it can't be read again."""
    with loading():
        from cli import administration

    body = {"name": name, "tenant": tenant, "scopes": scope, "limits": administration.limits_of(limit or [])}
    typer.echo(administration.create_key({**body, "expires_in": expires_in}, as_json=as_json))


@keys.command("list")
def list_keys(*, as_json: AsJson = False) -> None:
    """List all keys, without their secrets, newest first."""
    with loading():
        from cli import administration

    for line in administration.list_keys(as_json=as_json):
        typer.echo(line)


@keys.command("rotate")
def rotate_key(
    key_id: KeyId,
    *,
    overlap: Annotated[str, typer.Option(help="For how long the secret before it stays valid.")] = "1h",
    as_json: AsJson = False,
) -> None:
    """Give a key another secret and print it, this once."""
    with loading():
        from cli import administration

    typer.echo(administration.rotate_key(key_id, overlap=overlap, as_json=as_json))


@keys.command("revoke")
def revoke_key(key_id: KeyId) -> None:
    """Refuse a key for good, in every process within a second."""
    with loading():
        from cli import administration

    typer.echo(administration.revoke_key(key_id))
