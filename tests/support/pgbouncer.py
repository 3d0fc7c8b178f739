"""PgBouncer in front of a test's database, in the configuration that it comes with but for what a test says.

The Debian package's version is called where it is installed. `BREAKWATER_TEST_PGBOUNCER` names a newer one, which adds
the tests of transaction mode. The way to the server leads through the test's event loop, so a test may not block it.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.gateway import gateway_to
from tests.support.programs import require_program
from tests.support.service import free_port
from tests.support.waiting import eventually_async

NEWER = os.environ.get("BREAKWATER_TEST_PGBOUNCER")
CONFIGURATION = """
[databases]
{database} = host=127.0.0.1 port={server_port} user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
"""


@asynccontextmanager
async def pgbouncer(
    database_url: str, folder: Path, *, mode: str, program: str | None = None, size: int = 60
) -> AsyncIterator[str]:
    """Run a PgBouncer in this mode; yield the database's URL through it."""
    program = program or require_program("pgbouncer")
    port = free_port()
    async with gateway_to(database_url) as gateway:
        there = urlsplit(gateway.url)
        database, user = there.path.lstrip("/"), there.username or "postgres"
        text = CONFIGURATION.format(
            database=database, server_port=there.port, user=user, port=port, mode=mode, size=size
        )
        configuration = folder / f"{mode}.ini"
        configuration.write_text(text)
        account = ["-u", "nobody"] if os.geteuid() == 0 else []
        command = [program, *account, str(configuration)]
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
        try:
            await eventually_async(lambda: listens(port), what="PgBouncer listens")
            yield f"postgresql://{user}@127.0.0.1:{port}/{database}"
        finally:
            process.kill()  # asked to end, newer ones wait for their clients to leave
            await process.wait()


async def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
