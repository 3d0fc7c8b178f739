"""Incident 13: results were lost with the request's context. A client that leaves right after 202 changes nothing."""

import asyncio
import json
from urllib.parse import urlsplit

from tests.support.jobs import job_body
from tests.support.outcomes import all_ended, assert_audit, attempts
from tests.support.workers import Fleet


async def test_a_job_completes_though_its_client_left(fleet: Fleet, connection, start_api) -> None:
    fleet.start(ECHO_DELAY_SECONDS=0.2)
    api = start_api(fleet.database_url, fleet.redis_url)
    address = urlsplit(api.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    posted = json.dumps(job_body(questions=3)).encode()
    head = (
        f"POST /jobs HTTP/1.1\r\nHost: [::1]\r\nContent-Type: application/json\r\nContent-Length: {len(posted)}\r\n\r\n"
    )
    writer.write(head.encode() + posted)
    assert (await reader.readline()).startswith(b"HTTP/1.1 202")
    writer.transport.abort()
    await all_ended(connection)
    assert await attempts(connection) == {("completed", 1): 3}
    await assert_audit(connection)
