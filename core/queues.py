"""Names that both ends of the queue must spell alike."""

from enum import StrEnum

from core.settings import Settings


class Queue(StrEnum):
    """A Celery queue; each has worker processes of its own, so that training never blocks sampling."""

    SAMPLING = "sampling"
    DISTILLATION = "distillation"
    WEBHOOKS = "webhooks"


class Task(StrEnum):
    """A Celery task, sent by name so that the sender need not import the code that runs it."""

    GENERATE = "fewstep.generate"
    GENERATE_BULK = "fewstep.generate_bulk"
    DISTILL = "fewstep.distill"
    DELIVER = "fewstep.deliver"


def queues(settings: Settings) -> list[Queue]:
    """Those that are used: without a secret to sign them with no messages are sent to webhooks."""
    return [queue for queue in Queue if queue is not Queue.WEBHOOKS or settings.sends_webhooks]
