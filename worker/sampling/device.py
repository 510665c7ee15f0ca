"""The thread that owns the device: it samples at once what has come, and what comes meanwhile goes together next."""

from threading import Condition, Thread

from core import tracing
from core.errors import FewstepError
from worker.sampling import metrics
from worker.sampling.batcher import Job, Run, Schedule, run_batch


class Device:
    """Takes jobs from any thread; a context manager that starts the thread and ends it when it has no more work."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._schedule = Schedule()
        self._changed = Condition()
        self._closing = False
        self._thread = Thread(target=self._work, name="device", daemon=True)

    def __enter__(self) -> "Device":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def submit(self, job: Job) -> None:
        """Let a job take its turn."""
        with self._changed:
            if self._closing:
                raise FewstepError("this worker is stopping")
            self._schedule.add(job)
            self._changed.notify()
            metrics.WAITING.set(len(self._schedule))

    def _work(self) -> None:
        while True:
            with self._changed:
                while not len(self._schedule) and not self._closing:
                    self._changed.wait()
                if not len(self._schedule):
                    return
                batch = self._schedule.next_batch()
                metrics.WAITING.set(len(self._schedule))
            if batch:
                requests = (job.trace for job, _ in batch)
                with tracing.span("batch", parent=batch[0][0].trace, links=requests, images=len(batch)):
                    run_batch(batch, self._run, self._let_pass)

    def _let_pass(self) -> None:
        """Between two steps of bulk images: sample first whatever interactive ones have come."""
        while True:
            with self._changed:
                batch = self._schedule.next_batch(bulk=False)
                metrics.WAITING.set(len(self._schedule))
            if not batch:
                return
            run_batch(batch, self._run)
