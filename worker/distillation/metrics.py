"""What a distillation worker measures, by the messages of the process that trains."""

from prometheus_client import Counter, Gauge, Histogram

from worker.distillation.messages import Message, RoundFinished, SliceEnded, StorageIsAway, Trained

BY_METHOD = ["model", "method"]
BY_STEPS = [*BY_METHOD, "steps"]

ITERATIONS = Counter("fewstep_distill_iterations_total", "Iterations", BY_METHOD)
RATE = Gauge("fewstep_distill_iterations_per_second", "Iterations a second of the round under way", BY_METHOD)
LOSS = Gauge("fewstep_distill_loss", "Last loss", BY_STEPS)
GRADIENT_NORM = Gauge("fewstep_distill_gradient_norm", "Last norm of the gradient, before clipping", BY_STEPS)
PROGRESS = Gauge("fewstep_distill_progress_ratio", "Iterations done of all rounds of the job in hand", BY_METHOD)
REMAINING = Gauge(
    "fewstep_distill_remaining_seconds",
    "What the rest of the iterations of the job in hand will take at the present pace",
    BY_METHOD,
)
FRECHET_DISTANCE = Gauge(
    "fewstep_distill_frechet_distance", "Fréchet distance of the last student made with these steps", BY_STEPS
)
ROUND_SECONDS = Histogram(
    "fewstep_distill_round_seconds",
    "Training time of a round, over all slices",
    BY_METHOD,
    buckets=(1, 10, 30, 60, 300, 600, 1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600, 24 * 3600, 72 * 3600),
)
NONFINITE = Counter(
    "fewstep_distill_nonfinite_total", "Rounds ended since loss or gradient exploded or was not finite", BY_METHOD
)
SLICES = Counter("fewstep_distill_slices_total", "Slices, by how they ended", ["outcome"])
LEASE_LOSSES = Counter("fewstep_distill_lease_losses_total", "Slices whose lease went to other hands")
ARTIFACT_FAILURES = Counter(
    "fewstep_distill_artifact_failures_total",
    "Slices ended by a state or checkpoint that could not be written or read, and minutes of waiting for the store",
)

for outcome in ("finished", "over", "failed", "cancelled", "lost", "died"):
    SLICES.labels(outcome)


class Board:
    """Keeps the metrics of the process by messages; those of the job in hand go with it."""

    def __init__(self) -> None:
        self._job: str | None = None

    def begin(self, job_id: str) -> None:
        """A slice of this job begins."""
        if job_id != self._job:
            self.clear()
        self._job = job_id

    def show(self, message: Message) -> None:
        """Take over what a message says."""
        subject = (message.subject.model, message.subject.method)
        match message:
            case Trained():
                self._show_progress(message)
            case RoundFinished():
                ROUND_SECONDS.labels(*subject).observe(message.seconds)
                if message.frechet_distance is not None:
                    FRECHET_DISTANCE.labels(*subject, message.steps).set(message.frechet_distance)
            case SliceEnded():
                SLICES.labels(message.outcome).inc()
                NONFINITE.labels(*subject).inc(message.diverged)
                ARTIFACT_FAILURES.inc(message.artifact_failed)
                if message.outcome == "lost":
                    LEASE_LOSSES.inc()
            case StorageIsAway():
                ARTIFACT_FAILURES.inc()

    def _show_progress(self, message: Trained) -> None:
        subject = (message.subject.model, message.subject.method)
        ITERATIONS.labels(*subject).inc(message.iterations)
        NONFINITE.labels(*subject)  # there, with 0, before anything goes wrong
        PROGRESS.labels(*subject).set(message.done / message.total)
        if message.loss is not None and message.gradient_norm is not None:
            LOSS.labels(*subject, message.steps).set(message.loss)
            GRADIENT_NORM.labels(*subject, message.steps).set(message.gradient_norm)
        if message.rate:
            RATE.labels(*subject).set(message.rate)
            REMAINING.labels(*subject).set((message.total - message.done) / message.rate)

    def clear(self) -> None:
        """There is no job in hand."""
        self._job = None
        for gauge in (RATE, LOSS, GRADIENT_NORM, PROGRESS, REMAINING):
            gauge.clear()
