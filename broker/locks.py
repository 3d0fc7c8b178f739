"""Single flight: a lock in Redis that keeps several workers from beginning the same long work.

The lock decides nothing: only the holder of the lease in PostgreSQL may write. Without the lock other workers begin in
vain.
"""

from broker.envelopes import Client

COORDINATION = "waves:coordination:{job}"
_RENEW = (
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) else return 0 end"
)
_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"


async def acquire(client: Client, job: int, token: str, seconds: float) -> bool:
    """Take the lock of a job's coordination for `seconds`; return whether it was free."""
    return bool(await client.set(COORDINATION.format(job=job), token, nx=True, px=_milliseconds(seconds)))


async def renew(client: Client, job: int, token: str, seconds: float) -> bool:
    """Renew the lock for `seconds`; return whether it is still this token's."""
    renewed = await client.eval(_RENEW, 1, COORDINATION.format(job=job), token, _milliseconds(seconds))
    return bool(renewed)


async def release(client: Client, job: int, token: str) -> None:
    """Release the lock, if it is still this token's."""
    await client.eval(_RELEASE, 1, COORDINATION.format(job=job), token)


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))
