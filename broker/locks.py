"""Single flight: a lock in Redis that keeps several workers from beginning the same long work. It decides nothing.

The holder of a lease in PostgreSQL may write, whatever Redis says; without the lock the others only begin in vain.
"""

from broker.envelopes import Client

COORDINATION = "waves:coordination:{job}"
_RENEW = (
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) else return 0 end"
)
_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"


async def acquire(client: Client, job: int, token: str, seconds: float) -> bool:
    """Take the lock of a job's coordination for so long; return whether that was free."""
    return bool(await client.set(COORDINATION.format(job=job), token, nx=True, px=_milliseconds(seconds)))


async def renew(client: Client, job: int, token: str, seconds: float) -> bool:
    """Keep the lock for so long from now; return whether it is still this token's."""
    renewed = await client.eval(_RENEW, 1, COORDINATION.format(job=job), token, _milliseconds(seconds))
    return bool(renewed)


async def release(client: Client, job: int, token: str) -> None:
    """Give the lock back, if it is still this token's."""
    await client.eval(_RELEASE, 1, COORDINATION.format(job=job), token)


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))
