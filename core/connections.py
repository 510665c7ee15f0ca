"""Connections to Redis, with time limits so that a lost server is an error and not a hang."""

import threading
from collections.abc import Callable
from typing import Any

from redis import Redis
from redis.asyncio import BlockingConnectionPool
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from core.refusals import AsyncParser, Parser
from core.settings import Settings

POOL_WAIT_S = 5
SOCKET_TIMEOUT_S = 5
MAX_CONNECTIONS = 50
TRIES_AT_THE_END = 4
"""Of a patient client whose process is to end: about a second without Redis."""

ending = threading.Event()
"""Set when this process is to end: patient clients do not wait for Redis any more."""


class Patience(Retry):
    """Tries again, each second in the end, until Redis does what it is asked or the process is to end."""

    def __init__(self, is_ending: Callable[[], bool]) -> None:
        super().__init__(ExponentialBackoff(cap=1, base=0.05), retries=-1)
        self._is_ending = is_ending

    def __deepcopy__(self, memo: object) -> "Patience":
        """It has no state: connections, of which each copies what it is given, share it."""
        return self

    def call_with_retry(
        self,
        do: Callable[[], Any],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> Any:  # noqa: ANN401
        """As of ``Retry``."""

        def note(error: Exception, failures: int) -> None:
            fail(error, failures) if with_failure_count else fail(error)
            if failures >= TRIES_AT_THE_END and self._is_ending():
                raise error

        return super().call_with_retry(do, note, is_retryable, with_failure_count=True)


def text(value: bytes | str) -> str:
    """A key or a status as Redis answers it, decoded; results are bytes, so clients do not decode by themselves."""
    return value.decode() if isinstance(value, bytes) else value


def connect(
    settings: Settings,
    *,
    patient: bool = True,
    timeout_s: float = SOCKET_TIMEOUT_S,
    is_ending: Callable[[], bool] = ending.is_set,
) -> Redis:
    """A thread-safe client; a patient one waits out whatever keeps Redis from answering, until ``is_ending``."""
    return Redis.from_url(
        settings.redis_url.get_secret_value(),
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        health_check_interval=15,
        parser_class=Parser,
        retry=Patience(is_ending) if patient else Retry(ExponentialBackoff(cap=1, base=0.05), retries=1),
    )


def connect_async(settings: Settings) -> AsyncRedis:
    """A client for the event loop of the API; commands wait for a free connection instead of failing."""
    pool = BlockingConnectionPool.from_url(
        settings.redis_url.get_secret_value(),
        max_connections=MAX_CONNECTIONS,
        timeout=POOL_WAIT_S,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
        socket_keepalive=True,
        health_check_interval=15,
        parser_class=AsyncParser,
        # One try more, for a pooled connection that a restart has closed; then the client gets its 503.
        retry=AsyncRetry(ExponentialBackoff(cap=0.2, base=0.05), retries=1),
    )
    return AsyncRedis.from_pool(pool)
