"""Celery's transport on Redis as all of ours use it: patient with what Redis refuses for now."""

from typing import Any

import kombu
from celery.app.amqp import AMQP
from kombu.transport import redis as kombu_redis

from core.refusals import Parser

RETRY_S, LONGEST_RETRY_S = 1, 2
"""Between two tries of a worker to reach its broker, at first and in the end; kombu's own grow to half a minute."""


class Channel(kombu_redis.Channel):
    """Knows a refusal of Redis as a lost connection, which Celery waits out."""

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        parameters: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc]  # kombu's stubs lack it
        return parameters | {"parser_class": Parser}


class Transport(kombu_redis.Transport):
    """Of such channels."""

    Channel = Channel


class Connection(kombu.Connection):
    """To the broker; a lost one is made anew within seconds of the cure."""

    def ensure_connection(self, *args: Any, **options: Any) -> kombu.Connection:  # type: ignore[override]  # noqa: ANN401
        """As of kombu, with other intervals."""
        intervals = {"interval_start": RETRY_S, "interval_step": RETRY_S, "interval_max": LONGEST_RETRY_S}
        return super().ensure_connection(*args, **(intervals | options))


class Amqp(AMQP):
    """Makes Celery use that connection."""

    Connection = Connection
