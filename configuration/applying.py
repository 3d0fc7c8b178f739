"""Applying a configuration: one transaction commits it with its limits and pauses; others move jobs on request."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from configuration.content import (
    Configuration,
    Content,
    identities_of,
    limits_of,
    parse,
    read_configuration,
    registry_of,
    services_of,
)
from db import batches, circuit_breakers, configurations, pauses
from db.configurations import ConfigurationChanged, HeldJobs
from db.engine import Connection, Engine, connect, in_transaction
from domain.identities import IdentityKey, IdentityKind
from runtime.errors import SettingError, StartError

NONE_HELD = HeldJobs(0, ())
ANY_CELLS = 1
"""The limit of cells for a registry that plans nothing."""
JOBS_AT_ONCE = 250
"""Jobs that one transaction accepts anew. While 100,000 were moved on a busy machine, events waited 1.3 s at most, and
4.2 s with 1,000 in a transaction (2026-11-30)."""


@dataclass(frozen=True, slots=True)
class Change:
    """The changes from one configuration to the next: identities by name, other settings by their place.

    `new_services` are what has another type or address than before for any tenant.
    """

    appeared: Sequence[IdentityKey] = ()
    vanished: Sequence[IdentityKey] = ()
    changed: Sequence[IdentityKey] = ()
    settings: Sequence[str] = ()
    is_first: bool = False
    new_services: Sequence[IdentityKey] = ()

    @property
    def is_none(self) -> bool:
        """Whether everything stays as it is."""
        return not (self.is_first or self.appeared or self.vanished or self.changed or self.settings)


@dataclass(frozen=True, slots=True)
class Applied:
    """The configuration in force after `apply`, its changes, and the number of open jobs that it affected."""

    configuration: Configuration
    change: Change
    adopted: int = 0
    moved: int = 0
    held: HeldJobs = NONE_HELD

    @property
    def is_new(self) -> bool:
        """Whether a configuration was committed."""
        return not self.change.is_none

    @property
    def holds_more(self) -> bool:
        """Whether it may hold jobs whose services are configured, only for their tenants in another way."""
        return self.is_new and self.held.count > 0


async def apply(connection: Connection, content: Content, *, by: str) -> Applied:
    """Commit a configuration and the fleet's limits in the caller's transaction, unless it is in force already.

    Takes the configuration's lock, which serializes callers, and keeps a submission from mixing two configurations. A
    configuration of another version that this version can't read is replaced as if there were none.
    """
    await configurations.lock(connection)
    try:
        before = await read_configuration(connection)
    except SettingError:
        before = None
    change = compare(before, content)
    if not change.is_none:
        await configurations.commit(
            connection, content.to_json(), identities_of(content), is_simulated=content.is_simulated, by=by
        )
        await batches.enter_pools(connection, limits_of(content))
        await _reset_breakers(connection, change)
        await pauses.enter_pauses(connection, pauses.configured_pauses(registry_of(content, max_cells=ANY_CELLS)))
    adopted = await configurations.adopt_jobs(connection)
    held = await configurations.read_held_jobs(connection)
    committed = await configurations.read_current(connection)
    assert committed is not None  # noqa: S101 - it was committed here, or before
    return Applied(parse(committed), change, adopted, held=held)


async def move_jobs(
    engine: Engine,
    applied: Applied,
    *,
    by: str,
    on_moved: Callable[[], Awaitable[None]],
    to_other_services: bool = True,
) -> Applied:
    """Accept anew, under a configuration that was applied, the open jobs that it holds, where it can.

    Unless `to_other_services`, only those that keep all their types and addresses, of which only the tenants changed:
    `config apply` does that by itself.

    They are moved by pages, each in a transaction: one over all of them would hold back the readers of events for as
    long as it takes (db/events.py). Repeated, this moves what an earlier run left. Raises StartError where another
    configuration is in force meanwhile; what was moved by then stays so. `on_moved` is awaited after each page, so that
    its jobs don't wait for the other pages: also after a failed page, which may be committed all the same.
    """
    number = applied.configuration.number
    async with connect(engine) as connection:
        job_nos = await configurations.find_jobs_to_move(connection, to_other_services=to_other_services)
    moved = 0
    for start in range(0, len(job_nos), JOBS_AT_ONCE):
        page = job_nos[start : start + JOBS_AT_ONCE]
        try:
            moved += await in_transaction(
                engine,
                partial(
                    configurations.move_jobs,
                    configuration_no=number,
                    job_nos=page,
                    to_other_services=to_other_services,
                    by=by,
                ),
            )
        except ConfigurationChanged as changed:
            raise StartError(
                f"Another configuration than {number} was applied meanwhile. {moved} open jobs had been accepted anew "
                "by then; the others are held or run as that configuration says."
            ) from changed
        finally:
            await on_moved()
    async with connect(engine) as connection:
        return replace(applied, moved=moved, held=await configurations.read_held_jobs(connection))


async def apply_first(connection: Connection, content: Content, *, by: str) -> Configuration:
    """Commit this configuration if there is none, and return the one in force. Of many processes only one commits."""
    found = await read_configuration(connection)
    if found is not None:
        return found
    await configurations.lock(connection)
    found = await read_configuration(connection)  # another process may have committed while this one waited
    return found if found is not None else (await apply(connection, content, by=by)).configuration


def compare(before: Configuration | None, content: Content) -> Change:
    """Return the changes of this content against the configuration in force."""
    services = services_of(content)
    wanted = {identity.key: identity.digest for identity in identities_of(content)}
    if before is None:
        return Change(appeared=list(wanted), is_first=True, new_services=[key for key, _ in services])
    known = {identity.key: identity.digest for identity in identities_of(before.content)}
    return Change(
        appeared=[key for key in wanted if key not in known],
        vanished=[key for key in known if key not in wanted],
        changed=[key for key in wanted if key in known and wanted[key] != known[key]],
        settings=_differing(before.content, content),
        new_services=[key for key, _ in services - services_of(before.content)],
    )


async def _reset_breakers(connection: Connection, change: Change) -> None:
    """Close the circuit breakers of services that changed: the former one opened them."""
    others = [key for key in change.new_services if key.kind is IdentityKind.PROVIDER]
    if others:
        await circuit_breakers.reset(connection, [(key.name, key.region) for key in others])


def _differing(before: Content, content: Content) -> list[str]:
    """Return the differing places, such as `providers.NAME.max_concurrent`."""
    places = _places(before.to_json(), content.to_json(), "")
    return ["simulated", *places] if before.is_simulated != content.is_simulated else places


def _places(before: object, after: object, at: str) -> list[str]:
    if before == after:
        return []
    if not isinstance(before, dict) or not isinstance(after, dict):
        return [at]
    names = [*before, *(name for name in after if name not in before)]
    return [place for name in names for place in _places(before.get(name), after.get(name), f"{at}.{name}".lstrip("."))]
