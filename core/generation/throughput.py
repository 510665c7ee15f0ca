"""How fast workers sample each checkpoint, as they last measured it.

The hash ``fewstep:generate:cost`` has seconds an image, in full batches on one worker, by ``family/checkpoint``.
"""

from collections.abc import Mapping

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from core.connections import text

COST = "fewstep:generate:cost"


def report(redis: Redis, costs: Mapping[str, float]) -> None:
    """Publish seconds an image by checkpoint."""
    if costs:
        redis.hset(COST, mapping={name: f"{seconds:.3g}" for name, seconds in costs.items()})


def forget(redis: Redis, name: str) -> None:
    """Publish no more of a checkpoint, which is not there any more."""
    redis.hdel(COST, name)


async def costs(redis: AsyncRedis) -> dict[str, float]:
    """Seconds an image by checkpoint, of those that were ever sampled."""
    return {text(name): float(seconds) for name, seconds in (await redis.hgetall(COST)).items()}
