"""Pauses: the configuration counts until a person pauses or resumes; that counts until the configuration changes."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from db.engine import Connection, Engine, create_engine, in_transaction
from db.operations import list_operations
from db.pauses import (
    Kind,
    Paused,
    configured_pauses,
    enter_pauses,
    read_pauses,
    set_pause,
)
from domain.registry import DEFAULT_QUESTIONS, DEFAULT_REGIONS, Registry

ASIA = Paused(Kind.REGION, "asia-pacific")
US, EU, ECHO = Paused(Kind.REGION, "us-east"), Paused(Kind.REGION, "eu-west"), Paused(Kind.PROVIDER, "echo")
OPEN = {US: False, EU: False, ECHO: False}


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    engine = create_engine(database_url, size=10)
    yield engine
    await engine.dispose()


async def enter(engine: Engine, configured: Mapping[Paused, bool]) -> bool:
    return await in_transaction(engine, lambda c: enter_pauses(c, configured))


async def pause_or_resume(engine: Engine, target: Paused, *, is_paused: bool, reason: str | None = None) -> bool:
    return await in_transaction(
        engine, lambda c: set_pause(c, target, is_paused=is_paused, who="api:me", reason=reason)
    )


async def paused(engine: Engine) -> set[Paused]:
    return {target for target, pause in (await in_transaction(engine, read_pauses)).items() if pause.is_paused}


async def operations(engine: Engine) -> list[tuple[Any, ...]]:
    found = (await list_operations(engine, before=None, limit=200)).facts
    return [(fact.action, fact.kind, fact.name, fact.by, fact.reason) for fact in reversed(found)]


async def test_configured_pauses_are_entered_once(engine: Engine) -> None:
    assert await enter(engine, {**OPEN, EU: True}) is True
    assert await enter(engine, {**OPEN, EU: True}) is False
    found = await in_transaction(engine, read_pauses)
    assert {target: (pause.is_paused, pause.changed_by) for target, pause in found.items()} == {
        US: (False, "configuration"),
        EU: (True, "configuration"),
        ECHO: (False, "configuration"),
        ASIA: (False, "configuration"),
    }
    assert await operations(engine) == [("pause", "region", "eu-west", "configuration", None)]


async def test_a_press_outlives_the_restart_of_a_process(engine: Engine) -> None:
    await enter(engine, {**OPEN, EU: True})
    await pause_or_resume(engine, US, is_paused=True)
    await pause_or_resume(engine, EU, is_paused=False)
    assert await enter(engine, {**OPEN, EU: True}) is False
    assert await paused(engine) == {US}


async def test_a_configuration_that_says_another_thing_counts(engine: Engine) -> None:
    await enter(engine, OPEN)
    await pause_or_resume(engine, EU, is_paused=True, reason="an outage")
    assert await enter(engine, {**OPEN, US: True}) is True
    assert await paused(engine) == {US, EU}
    assert await enter(engine, {**OPEN, EU: True}) is True
    assert await paused(engine) == {EU}
    [pause] = [pause for target, pause in (await in_transaction(engine, read_pauses)).items() if target == EU]
    assert (pause.changed_by, pause.reason) == ("configuration", None)
    assert [(action, name, by) for action, _, name, by, _ in await operations(engine)] == [
        ("pause", "eu-west", "api:me"),
        ("pause", "us-east", "configuration"),
        ("resume", "us-east", "configuration"),
    ]


async def test_a_pause_names_its_client_and_reason(engine: Engine) -> None:
    await enter(engine, OPEN)
    before = (await in_transaction(engine, read_pauses))[ECHO].changed_at
    assert await pause_or_resume(engine, ECHO, is_paused=True, reason="an outage") is True
    pause = (await in_transaction(engine, read_pauses))[ECHO]
    assert (pause.is_paused, pause.changed_by, pause.reason, pause.changed_at > before) == (
        True,
        "api:me",
        "an outage",
        True,
    )
    assert await operations(engine) == [("pause", "provider", "echo", "api:me", "an outage")]


async def test_a_second_press_changes_and_records_nothing(engine: Engine) -> None:
    await enter(engine, OPEN)
    await pause_or_resume(engine, US, is_paused=True, reason="first")
    first = await in_transaction(engine, read_pauses)
    assert await pause_or_resume(engine, US, is_paused=True, reason="second") is False
    assert await in_transaction(engine, read_pauses) == first
    assert len(await operations(engine)) == 1


async def test_of_many_presses_at_once_one_counts(engine: Engine) -> None:
    await enter(engine, OPEN)
    for is_paused in (True, False):
        pressed = await asyncio.gather(*(pause_or_resume(engine, US, is_paused=is_paused) for _ in range(50)))
        assert sum(pressed) == 1
    assert [action for action, *_ in await operations(engine)] == ["pause", "resume"]


async def test_processes_that_start_at_once_enter_one_thing(engine: Engine) -> None:
    entered = await asyncio.gather(*(enter(engine, {**OPEN, US: True, EU: True}) for _ in range(20)))
    assert sum(entered) == 1
    assert len(await operations(engine)) == 2


async def test_a_press_that_is_not_committed_is_not_recorded(engine: Engine) -> None:
    await enter(engine, OPEN)

    async def unit(connection: Connection) -> None:
        await set_pause(connection, US, is_paused=True, who="api:me", reason=None)
        raise LookupError

    with pytest.raises(LookupError):
        await in_transaction(engine, unit)
    assert (await paused(engine), await operations(engine)) == (set(), [])


def test_everything_that_is_configured_can_be_paused() -> None:
    registry = Registry(
        DEFAULT_REGIONS[:2],
        DEFAULT_QUESTIONS,
        providers=frozenset({"hybrid", "openai"}),
        paused_regions=frozenset({"eu-west"}),
        paused_providers=frozenset({"openai"}),
    )
    hybrid, openai = Paused(Kind.PROVIDER, "hybrid"), Paused(Kind.PROVIDER, "openai")
    assert configured_pauses(registry) == {US: False, EU: True, hybrid: False, openai: True}
    unconfigured = replace(registry, providers=None, paused_providers=frozenset())
    assert configured_pauses(unconfigured) == {US: False, EU: True, ECHO: False}


async def test_operations_are_read_in_pages(engine: Engine) -> None:
    await enter(engine, OPEN)
    for number in range(5):
        await pause_or_resume(engine, US, is_paused=number % 2 == 0, reason=str(number))
    first = await list_operations(engine, before=None, limit=3)
    rest = await list_operations(engine, before=first.facts[-1].operation_no, limit=3)
    assert [fact.reason for fact in (*first.facts, *rest.facts)] == ["4", "3", "2", "1", "0"]
    assert (first.is_last, rest.is_last) == (False, True)
