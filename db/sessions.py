"""The sessions of a pool: opening them, and finding silent sessions early.

A connection whose peer vanished (NAT, a load balancer, a lost host) looks like a connection whose statement is slow.
Three checks distinguish them: an idle session is tested before it is lent, quick statements have a limit of seconds,
and after a failure of either, the server is asked for the activity of the other sessions.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from weakref import WeakSet

import asyncpg

from db.connecting import Dialer, Session
from db.connection_failures import OLDEST_VERSION, ServerTooOld
from db.poolers import EXAMINE_SECONDS, apply_settings, examine, is_pooled

IDLE_CHECK_SECONDS = 1.0
"""A session that was used within this time counts as alive."""
ANSWER_SECONDS = 1.0
STUCK_SECONDS = 2.0
"""How long server and client wait for each other before a session counts as silent."""
LONGEST_PAUSE_SECONDS = 15.0
"""The longest pause between two checks of a slow statement."""
_ACTIVE = """
SELECT pid
FROM pg_stat_activity
WHERE pid = ANY($1) AND (state = 'active' OR state_change > clock_timestamp() - $2::float8 * interval '1 second')
"""


_pools: "WeakSet[Sessions]" = WeakSet()
"""All pools of this process: if a session of one is silent, those of others at the same server probably are, too."""


class Sessions:
    """Opens and monitors the sessions of a pool. `settings` hold in each of their transactions.

    `on_events` is called after each commit of a unit that wrote events.
    """

    def __init__(
        self,
        dialer: Dialer,
        *,
        name: str,
        settings: dict[str, str],
        command_seconds: float,
        on_events: Callable[[], None] | None = None,
    ) -> None:
        self.dialer = dialer
        self.on_events = on_events
        self._name = {"application_name": name}
        self._settings = settings
        self._is_examined = False
        self._command_seconds = command_seconds
        self.opened: WeakSet[Session] = WeakSet()
        self.suspect_since = 0.0
        self._asking: asyncio.Task[None] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        _pools.add(self)

    async def open(self) -> Session:
        """Open a session. Raises ConnectionError, ServerTooOld and PoolerUnsupported too, and the server's refusals."""
        session = await self.dialer.open(settings=self._name, command_seconds=self._command_seconds)
        if session.get_server_version().major < OLDEST_VERSION:
            version = session.get_settings().server_version
            session.terminate()
            raise ServerTooOld(f"the server is PostgreSQL {version}: it must be {OLDEST_VERSION} or newer.")
        await self._apply_settings(session)
        session.sessions = self
        self.opened.add(session)
        self.loop = asyncio.get_running_loop()
        return session

    async def _apply_settings(self, session: Session) -> None:
        """Make the settings hold; examine the pooler if there is one, once."""
        try:
            if not await apply_settings(session, self._settings) and not self._is_examined:
                await examine(partial(self.dialer.open, settings=self._name, command_seconds=EXAMINE_SECONDS))
                self._is_examined = True
        except BaseException:
            session.terminate()
            raise

    async def is_sound(self, session: Session) -> bool:
        """Say whether a session may be lent; an idle session is tested."""
        if session.is_closed() or session.opened_at < self.suspect_since:
            return False
        if time.monotonic() - session.idle_since < IDLE_CHECK_SECONDS:
            return True
        try:
            await session.execute("SELECT 1", timeout=ANSWER_SECONDS)
        except TimeoutError:
            self.suspect()
            return False
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            return False
        except asyncio.CancelledError:
            session.terminate()  # a late answer would reach the session's next user
            raise
        return True

    def lend(self, session: Session, seconds: float | None) -> None:
        """Set the limit of a session's statements while it is lent."""
        session.limit_statements(seconds or self._command_seconds)
        session.has_written_events = False

    def take_back(self, session: Session) -> None:
        """Note that a session is no longer in use."""
        session.waits_since = None
        session.idle_since = time.monotonic()

    def suspect(self) -> None:
        """Replace every open session, since one of them didn't respond.

        Sessions of other pools of this process at the same server are replaced, too. A session in use stays if the
        server reports activity for it.
        """
        pools = [pool for pool in _pools if pool.loop is self.loop and pool.dialer.info == self.dialer.info]
        for pool in pools:
            pool.suspect_since = time.monotonic()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._end_stuck(pools))

    async def _end_stuck(self, pools: "list[Sessions]") -> None:
        """Check until none of the sessions that wait now still waits: a statement may just have begun."""
        pause = STUCK_SECONDS
        suspected = [session for pool in pools for session in pool.opened if session.opened_at < self.suspect_since]
        while True:
            await asyncio.sleep(pause)
            since = time.monotonic() - STUCK_SECONDS
            waiting = {session.get_server_pid(): session for session in suspected if session.is_waiting}
            if not waiting:
                return
            active = await self._ask_for_active(list(waiting))
            # Behind a pooler the process id isn't the server's, so only the statement's limit applies.
            silent = [
                session
                for pid, session in waiting.items()
                if pid not in active and session.is_waiting_before(since) and not is_pooled(session)
            ]
            for session in silent:
                session.terminate()
            # A session that was active may have waited for a lock of an ended one: it is silent next.
            pause = 1.5 * STUCK_SECONDS if silent else min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _ask_for_active(self, pids: list[int]) -> set[int]:
        """Return the process ids that the server works for, or did lately; none if it doesn't answer."""
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            asked = await self.dialer.open(settings=self._name, command_seconds=ANSWER_SECONDS)
            try:
                return {row["pid"] for row in await asked.fetch(_ACTIVE, pids, STUCK_SECONDS)}
            finally:
                asked.terminate()
        return set()
