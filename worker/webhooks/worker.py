"""The webhook worker: takes what is due out of the outbox, hands it out by Celery, and delivers it."""

from threading import Thread

from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from core import presence
from core.broker import make_celery
from core.connections import connect, ending
from core.errors import FewstepError
from core.log import get_logger
from core.queues import Queue, Task
from core.settings import Settings
from core.webhooks import outbox
from worker.heartbeat import Heartbeat, Pulse
from worker.intake import send_lost_again
from worker.request import INTAKE, ForgivingRequest
from worker.webhooks.deliver import deliver
from worker.webhooks.metrics import ATTEMPT_SECONDS, ATTEMPTS

THREADS = 8
"""Messages in hand at once: one that nobody answers holds up no more than its thread."""
GROWTH = 6
"""From one pause between attempts to the next."""
LOOK_EVERY_S = 1.0
"""What is due again rings no bell."""
AT_A_TIME = 100
LEASE_S = 60.0
"""Beyond the time of an attempt, for names that resolve slowly and queues: after it a message is taken for left."""

log = get_logger(__name__)


class Postman:
    """Has messages delivered, each by whichever thread of whichever worker Celery gives it to."""

    def __init__(self, settings: Settings, redis: Redis, celery: Celery) -> None:
        self._settings, self._redis, self._celery = settings, redis, celery
        self._lease_s = settings.webhook_timeout_s + LEASE_S

    def start(self) -> None:
        """Look for what is due until this process is to end."""
        Thread(target=self._look, name="outbox", daemon=True).start()

    def deliver(self, message_id: str) -> None:
        """Try to deliver a message, and say when to try again."""
        message = outbox.begin(self._redis, message_id, lease_s=self._lease_s)
        if message is None:
            return
        attempt = deliver(message, self._settings)
        outcome = attempt.outcome
        if outcome == "failed" and message.attempt >= self._settings.webhook_attempts:
            outcome = "given_up"
        again_s = self._settings.webhook_retry_s * GROWTH ** (message.attempt - 1)
        outbox.end(self._redis, message, outcome, attempt.facts, again_s=again_s)
        ATTEMPTS.labels(outcome).inc()
        ATTEMPT_SECONDS.observe(attempt.seconds)
        line = log.info if outcome == "delivered" else log.warning
        line("webhook", outcome=outcome, message=message.id, attempt=message.attempt, **attempt.facts)

    def _look(self) -> None:
        while not ending.is_set():
            try:
                self._redis.blpop([outbox.BELL], timeout=LOOK_EVERY_S)
                while found := outbox.claim(self._redis, count=AT_A_TIME, lease_s=self._lease_s):
                    for message_id in found:
                        self._celery.send_task(Task.DELIVER, args=[message_id])
            except (RedisError, OperationalError, OSError) as error:
                # What was claimed and not handed out is due again when its lease is over.
                log.warning("outbox not looked at", error=str(error))
                ending.wait(LOOK_EVERY_S)


def make_webhook_worker(settings: Settings, name: str, pulse: Pulse) -> tuple[Celery, Heartbeat, Postman]:
    """The Celery application with its task, and the heartbeat and postman to start once it consumes.

    Raises:
        FewstepError: There is nothing to sign messages with.
    """
    if not settings.sends_webhooks:
        raise FewstepError("is not set, so that no messages can be signed", field="webhook_secret")
    celery = make_celery(settings, transport=INTAKE)
    postman = Postman(settings, connect(settings), celery)

    @celery.task(name=Task.DELIVER, Request=ForgivingRequest)
    def deliver_task(message_id: str) -> None:
        postman.deliver(message_id)

    beats = connect(settings, patient=False)

    def chore(_after_trouble: bool) -> None:
        send_lost_again(celery)

    facts = {"host": presence.host(), "device": None}
    heartbeat = Heartbeat(beats, Queue.WEBHOOKS, name, facts, interval_s=settings.heartbeat_s, pulse=pulse, chore=chore)
    return celery, heartbeat, postman
