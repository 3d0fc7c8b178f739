"""Applying, showing and comparing configurations in the database of the settings, for `config`."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from broker import envelopes, notices
from broker.envelopes import BrokerError
from broker.notices import Notice
from cli.database import actor, run_on, transact
from cli.inspection import tables
from cli.service import settings_of
from configuration import applying
from configuration.agreement import refuse_simulating
from configuration.applying import Applied, Change, compare
from configuration.content import Content, read_configuration
from db.tenants import find_unknown_tenants
from runtime.config_file import ConfigFile, read_config_file
from runtime.errors import StartError
from runtime.settings import Settings

NOTICE_SECONDS = 2.0


def content_of(file: Path | None, *, simulate: bool) -> Content:
    """Return the configuration of the arguments. Raises StartError for an invalid file, or without a configuration."""
    if file is None and not simulate:
        raise StartError("Name a TOML file, or give --simulate.")
    return Content(read_config_file(file) if file else ConfigFile(), simulate)


def apply_now(content: Content, *, moves_jobs: bool) -> Iterator[str]:
    """Commit this content; return the changes in words."""
    settings = settings_of("config")
    if settings.simulate and not content.is_simulated:
        raise StartError("BREAKWATER_SIMULATE is true: unset it, or give --simulate.")
    applied = transact(settings, lambda c: applying.apply(c, content, by=actor()))
    if applied.is_new or applied.adopted:
        asyncio.run(_notify(settings))
    if moves_jobs or applied.holds_more:
        move = partial(
            applying.move_jobs,
            applied=applied,
            by=actor(),
            on_moved=partial(_notify, settings),
            to_other_services=moves_jobs,
        )
        applied = run_on(settings, move)
    unknown = transact(settings, partial(find_unknown_tenants, names=applied.configuration.named_tenants))
    yield from _describe(applied)
    yield from _warn(applied.configuration.content.file, unknown)


def apply_first(content: Content) -> Iterator[str]:
    """Commit this content if none is committed; say which configuration is in force."""
    settings = settings_of("config")
    found = transact(settings, lambda c: applying.apply_first(c, content, by=actor()))
    refuse_simulating(settings, found)
    yield f"Configuration {found.number} is in force{', simulated' if found.content.is_simulated else ''}."


def show() -> Iterator[str]:
    """Return the configuration in force with its number, and when and by whom it was applied."""
    found = transact(settings_of("config"), read_configuration)
    if found is None:
        raise StartError("No configuration is committed: `breakwater config apply FILE` commits one.")
    yield f"# configuration {found.number}, applied {found.applied_at.isoformat()} by {found.applied_by}"
    if found.content.is_simulated:
        yield "# simulated: the built-in echo stands in for every provider"
    yield from tables(found.content.file)


def changes(content: Content) -> list[str]:
    """Return the changes that this content would make, line by line."""
    found = transact(settings_of("config"), read_configuration)
    change = compare(found, content)
    return [] if change.is_none else list(_changes(change)) or ["It would be the first one."]


async def _notify(settings: Settings) -> None:
    """Notify all processes; without Redis each notices at its next heartbeat."""
    redis = envelopes.connect(settings.redis_url or "")
    try:
        with suppress(BrokerError, OSError):
            async with asyncio.timeout(NOTICE_SECONDS):
                await notices.publish(redis, Notice(about="configuration"))
    finally:
        await redis.aclose()


def _describe(applied: Applied) -> Iterator[str]:
    number = applied.configuration.number
    if applied.is_new:
        yield f"Configuration {number} is in force."
        yield from _changes(applied.change)
    else:
        yield f"Nothing changes: configuration {number} says the same."
    if applied.adopted:
        yield f"{applied.adopted} open jobs from before there was a configuration run under configuration 1."
    if applied.moved:
        yield f"{applied.moved} open jobs were accepted anew."
    if applied.held.count:
        named = ", ".join(applied.held.ids) + (", …" if applied.held.count > len(applied.held.ids) else "")
        yield (
            f"{applied.held.count} open jobs are held, accepted under what isn't configured now: {named}. "
            "Apply what they need, accept them anew with --move-jobs where that is still configured, or cancel them."
        )


def _warn(file: ConfigFile, unknown: Sequence[str]) -> Iterator[str]:
    """Name the tenants that don't exist, and where the file names them."""
    for name in unknown:
        places = ", ".join(place for place, tenants in file.tenants_by_place.items() if name in tenants)
        yield f"There is no tenant {name} yet ({places}): correct the name, or `breakwater tenants create {name}`."


def _changes(change: Change) -> Iterator[str]:
    for sign, keys in (("+", change.appeared), ("-", change.vanished), ("~", change.changed)):
        for key in keys:
            yield f"{sign} {key}"
    for place in change.settings:
        yield f"  {place}"
