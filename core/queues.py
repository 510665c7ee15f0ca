"""Names that both ends of the queue must spell alike."""

from enum import StrEnum


class Queue(StrEnum):
    """A Celery queue; each has worker processes of its own, so that training never blocks sampling."""

    SAMPLING = "sampling"
    DISTILLATION = "distillation"


class Task(StrEnum):
    """A Celery task, sent by name so that the sender need not import the code that runs it."""

    GENERATE = "fewstep.generate"
    GENERATE_BULK = "fewstep.generate_bulk"
    DISTILL = "fewstep.distill"
