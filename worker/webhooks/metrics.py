"""What a webhook worker measures."""

from prometheus_client import Counter, Histogram

OUTCOMES = ("delivered", "failed", "given_up")

ATTEMPTS = Counter("fewstep_webhook_attempts_total", "Attempts to deliver a message, by their outcome", ["outcome"])
ATTEMPT_SECONDS = Histogram("fewstep_webhook_attempt_seconds", "Time of an attempt")

for outcome in OUTCOMES:
    ATTEMPTS.labels(outcome)
