"""Calls to make, answers to read without a network, and how regions are spelled."""

from datetime import UTC, datetime

import httpx2
import orjson

from domain.calls import Cell
from domain.registry import DEFAULT_QUESTIONS, DEFAULT_REGIONS, Registry
from worker.providers.answers import Answer
from worker.providers.protocol import Call

TIMEOUT_SECONDS = 20.0
canonical = Registry(DEFAULT_REGIONS, DEFAULT_QUESTIONS).canonical
NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def call(**changes):
    return Call(
        **{
            "cell": Cell(7, 0, 1, 2),
            "planned_us": 1_764_000_000_000_000,
            "key_no": 0,
            "model_id": "llama3.2-1b",
            "region": "us-east",
            "question": "What is 2+2?",
            "parameters": {},
            "timeout_seconds": TIMEOUT_SECONDS,
            "attempt": 1,
            **changes,
        }
    )


def answered(document, status=200, **headers):
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, httpx2.Headers(named), body, NOW)


def read(dialect, document, **headers):
    """What a dialect makes of a JSON answer."""
    return dialect.outcome_of(document, answered(document, **headers))
