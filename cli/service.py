"""The commands that run the service: the whole of it, or a single process."""

import asyncio
import math
import os
from typing import Annotated

import typer

from cli.loading import loading
from launcher import supervisor
from launcher.accounts import account_for_engines
from launcher.address import refuse_taken_port, refuse_unsafe_address
from launcher.folder import choose_folder, read_connections
from runtime.databases import Reminder, unusable
from runtime.errors import StartError
from runtime.logs import configure_logs
from runtime.settings import Settings, load_settings, pass_urls, redacted

# Each command imports its own modules: the supervisor stays small, and a worker never loads the API's modules.
# ruff: noqa: PLC0415


def run() -> None:
    """Run everything on this machine: engines (unless URLs are set), API and workers. Ctrl-C ends it."""
    settings = load_settings()
    configure_logs(settings.log_level, process="supervisor")
    supervisor.run(settings)


def api() -> None:
    """Run the API alone."""
    with loading():
        import uvicorn

        from cli.database import require_tenant_role
        from configuration.agreement import check_at_start

    settings = settings_of("api")
    refuse_unsafe_address(settings)
    refuse_taken_port(settings)
    _look_at_database(settings)
    check_at_start(settings)
    require_tenant_role(settings)
    with loading():
        import api.app  # noqa: F401 - uvicorn finds it loaded
        from api.client_limits import ClientLimits, most_connections
        from api.connections import limited
    limits = ClientLimits(settings.receive_seconds, settings.send_seconds, most_connections())
    uvicorn.run(
        "api.app:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=limited(limits),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=settings.trusted_proxies is not None,
        forwarded_allow_ips=settings.trusted_proxies or "",
        timeout_keep_alive=math.ceil(settings.keep_alive_seconds),
        timeout_graceful_shutdown=math.ceil(settings.shutdown_seconds),
    )


def worker() -> None:
    """Run one worker alone; it joins the engines of `breakwater run` if no URLs are set."""
    settings = settings_of("worker")
    with loading():
        from worker.__main__ import main

    main(settings)


def migrate(
    *,
    wait_seconds: Annotated[
        float, typer.Option(min=0, help="Give up once others have kept a migration from its tables for so long.")
    ] = 300,
) -> None:
    """Bring the database to this version's schema; safe to repeat, to race and to run under load."""
    settings = settings_of("migrate")
    with loading():
        import structlog

        from cli.database import keep_audit_log
        from db.engine import probe
        from db.migrate import upgrade
        from db.migration_blockers import MigrationBlocked

    url = settings.database_url or ""
    log = structlog.get_logger()
    if failure := asyncio.run(probe(url)):
        raise unusable(url, failure.reason)
    try:
        upgrade(
            url,
            wait_seconds=wait_seconds,
            report=lambda blockers: log.warning("migration_blocked", by=[str(found) for found in blockers]),
        )
    except MigrationBlocked as blocked:
        raise StartError(f"The database at {redacted(url)} can't be migrated now: {blocked}") from blocked
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StartError(
            f"The database at {redacted(url)} can't be migrated ({reason}): look at BREAKWATER_DATABASE_URL."
        ) from error
    keep_audit_log(settings)


def _look_at_database(settings: Settings) -> None:
    """Refuse a database that waiting won't make usable; an unavailable database is waited for, and POST answers 503."""
    from db.engine import probe

    url = settings.database_url or ""
    failure = asyncio.run(probe(url))
    if failure and not failure.heals:
        raise unusable(url, failure.reason)
    if failure:
        Reminder(url).warn(failure.reason)


def settings_of(process: str) -> Settings:
    """Return the settings of one process, with URLs; the environment of its child processes has them too."""
    settings = load_settings()
    configure_logs(settings.log_level, process=process)
    if settings.database_url and settings.redis_url:
        return settings
    found = joined(settings)
    pass_urls(os.environ, database_url=found.database_url or "", redis_url=found.redis_url or "")
    return found


def joined(settings: Settings) -> Settings:
    """Fill in the URLs of a running `breakwater run` on the same data folder; raises StartError if there is none."""
    folder = choose_folder(data_dir=settings.data_dir, port=settings.port, account=account_for_engines()).path
    running = read_connections(folder)
    if running is None:
        raise StartError(
            f"No `breakwater run` is using {folder}: start it, or set BREAKWATER_DATABASE_URL and BREAKWATER_REDIS_URL."
        )
    return settings.model_copy(
        update={
            "database_url": settings.database_url or running.database_url,
            "redis_url": settings.redis_url or running.redis_url,
        }
    )
