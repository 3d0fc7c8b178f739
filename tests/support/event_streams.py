"""A reader of server-sent events, written from their standard; it shares nothing with the service."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True)
class Sent:
    """An event of a stream: its id, and its data read as JSON."""

    id: str
    item: Any


async def parse(lines: AsyncIterator[str]) -> AsyncGenerator[Sent, None]:
    """Read a stream by the rules of the standard; fields that these streams don't have fail."""
    last_id, data = "", list[str]()
    async for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield Sent(last_id, orjson.loads("\n".join(data)))
            data = []
        elif name == "id":
            last_id = value
        elif name == "data":
            data.append(value)
        else:
            assert name in {"", "retry"}, line
