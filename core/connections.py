"""Connections to Redis, with time limits so that a lost server is an error and not a hang."""

from redis import Redis
from redis.asyncio import BlockingConnectionPool
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from core.settings import Settings

POOL_WAIT_S = 5
SOCKET_TIMEOUT_S = 5
MAX_CONNECTIONS = 50


def text(value: bytes | str) -> str:
    """A key or a status as Redis answers it, decoded; results are bytes, so clients do not decode by themselves."""
    return value.decode() if isinstance(value, bytes) else value


def connect(settings: Settings, *, patient: bool = True, timeout_s: float = SOCKET_TIMEOUT_S) -> Redis:
    """A thread-safe client; a patient one rides out about a minute without Redis before it raises."""
    return Redis.from_url(
        settings.redis_url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        health_check_interval=15,
        retry=Retry(ExponentialBackoff(cap=1, base=0.05), retries=60 if patient else 1),
    )


def connect_async(settings: Settings) -> AsyncRedis:
    """A client for the event loop of the API; commands wait for a free connection instead of failing."""
    pool = BlockingConnectionPool.from_url(
        settings.redis_url,
        max_connections=MAX_CONNECTIONS,
        timeout=POOL_WAIT_S,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
        socket_keepalive=True,
        health_check_interval=15,
        # One try more, for a pooled connection that a restart has closed; then the client gets its 503.
        retry=AsyncRetry(ExponentialBackoff(cap=0.2, base=0.05), retries=1),
    )
    return AsyncRedis.from_pool(pool)
