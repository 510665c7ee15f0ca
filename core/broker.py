"""The Celery application, the same for those who send and those who work.

A message is only a hint that a record waits; what it says and what became of it stands in the record
(`core.generation.records`). So a lost, doubled or late message does no harm.
"""

from typing import Any

from celery import Celery

from core.log import get_logger
from core.queues import Queue, Task
from core.settings import Settings

log = get_logger(__name__)

KEY_PREFIX = "fewstep:"


def queue_length(celery: Celery, queue: Queue) -> int:
    """Messages that no worker has taken yet."""
    with celery.connection_or_acquire() as connection:
        declared: Any = celery.amqp.queues[queue].bind(connection.default_channel).queue_declare()
        return int(declared.message_count)


def wake(celery: Celery, about: str) -> None:
    """Send a message that wakes a sampling worker; it blocks.

    One that cannot be sent does no harm, since workers look at each heartbeat what waits.

    Args:
        celery: What sends.
        about: What a reader of the message is told.
    """
    try:
        celery.send_task(Task.GENERATE, args=[about])
    except Exception as error:  # as kombu says it, whatever lies below
        log.warning("no message sent", error=str(error), about=about)


def make_celery(settings: Settings, *, transport: str = "core.transport:Transport") -> Celery:
    """A Celery application on Redis without a result backend; it knows no task's code."""
    celery = Celery(
        "fewstep", broker=settings.redis_url.get_secret_value(), amqp="core.transport:Amqp", set_as_current=False
    )
    celery.conf.update(
        broker_transport=transport,
        broker_transport_options={
            "visibility_timeout": settings.visibility_timeout_s,
            "global_keyprefix": KEY_PREFIX,
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
        },
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        # Two quick tries more, then the API says 503 and the client decides.
        task_publish_retry_policy={"max_retries": 2, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5},
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_create_missing_queues=True,
        task_default_queue=Queue.SAMPLING,
        task_routes={
            Task.GENERATE: {"queue": Queue.SAMPLING},
            Task.GENERATE_BULK: {"queue": Queue.SAMPLING},
            Task.DISTILL: {"queue": Queue.DISTILLATION},
            Task.DELIVER: {"queue": Queue.WEBHOOKS},
        },
        worker_prefetch_multiplier=1,
        # A task whose connection broke still ends its record; the message that comes back finds it ended.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # SIGTERM drains; a second signal still leaves what runs this long.
        worker_soft_shutdown_timeout=10,
        # Nobody asks a worker over the broker: presence and metrics say what there is to know.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )
    return celery
