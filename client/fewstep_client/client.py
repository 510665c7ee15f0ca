"""The client for threads."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

import httpx

from fewstep_client.asking import settings_of
from fewstep_client.calls import Calls
from fewstep_client.documents import Event, JobDocument, Model
from fewstep_client.images import Image, Images
from fewstep_client.options import GenerateOptions
from fewstep_client.transport import Blocking, iterate, run


class Client:
    """A service at an address. A context manager; thread-safe.

    What did not arrive, and what the service is too busy for or away at the moment, is sent again ``retries`` times.
    What it refuses is an exception of `fewstep_client.errors`.
    """

    def __init__(
        self, url: str | None = None, *, api_key: str | None = None, retries: int = 5, timeout_s: float = 90
    ) -> None:
        """Connect to nothing yet.

        Args:
            url: Of the service; by default ``FEWSTEP_URL``, or that of ``make run`` on this machine.
            api_key: Sent as ``Authorization: Bearer``; by default ``FEWSTEP_API_KEY``, or none.
            retries: How often a request is sent again before its error is raised.
            timeout_s: Of each answer; longer than the service itself waits for pictures.
        """
        self._http = httpx.Client(**settings_of(url, api_key, timeout_s))
        self._calls = Calls(Blocking(self._http), retries=retries)

    def generate(self, **options: Unpack[GenerateOptions]) -> Images:
        """Sample images, and wait for them."""
        return run(self._calls.generate(options))

    def submit(self, *, idempotency_key: str | None = None, **options: Unpack[GenerateOptions]) -> "Generation":
        """Have images sampled that nobody waits for: up to 10,000, also while no worker is there."""
        return Generation(self._calls, run(self._calls.submit(options, idempotency_key)))

    def generation(self, id: str) -> "Generation":
        """One that was submitted, by its id."""
        return Generation(self._calls, id)

    def models(self) -> list[Model]:
        """All families."""
        return run(self._calls.models())

    def download(self, checkpoint: str, path: str | Path) -> Path:
        """A checkpoint, ``family/name``, as a zip of one folder, which plain diffusers opens. Returns where it is."""
        return run(self._calls.download(checkpoint, Path(path)))

    def rollback(self, family: str, steps: int) -> None:
        """Undo the last promotion."""
        run(self._calls.rollback(family, steps))

    def distill(self, teacher: str, *, idempotency_key: str | None = None, **options: object) -> "Job":
        """Make students of a teacher, ``family/checkpoint``; ``options`` are fields of ``POST /distill-jobs``."""
        return Job(self._calls, run(self._calls.distill({"teacher": teacher, **options}, idempotency_key)))

    def job(self, id: str) -> "Job":
        """A job by its id."""
        return Job(self._calls, run(self._calls.job(id)))

    def jobs(self, state: str | None = None) -> Iterator["Job"]:
        """All jobs, newest first; those in a state alone, if one is given."""
        return (Job(self._calls, document) for document in iterate(self._calls.jobs(state)))

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Generation:
    """Images that were submitted."""

    def __init__(self, calls: Calls, id: str) -> None:
        self._calls = calls
        self.id = id

    def wait(self, *, progress: bool = True) -> Images:
        """The images, once they are there; kept by the service for an hour after that."""
        return run(self._calls.wait_for_images(self.id, progress=progress))

    def cancel(self) -> None:
        """Call it off, or discard its images."""
        run(self._calls.discard(self.id))


class Job:
    """A distillation job.

    Attributes:
        document: As the service said last; `refresh` asks again.
    """

    def __init__(self, calls: Calls, document: JobDocument) -> None:
        self._calls = calls
        self.document = document

    @property
    def id(self) -> str:
        """By which `Client.job` finds it."""
        return self.document.id

    @property
    def name(self) -> str:
        """Family that its students serve as once it has succeeded."""
        return self.document.name

    def refresh(self) -> JobDocument:
        """Ask for its state."""
        self.document = run(self._calls.job(self.id))
        return self.document

    def wait(self, *, progress: bool = True) -> Self:
        """Wait until it has succeeded, with a bar where there is a terminal or a notebook.

        Raises:
            JobFailed: It failed.
            Cancelled: It was called off.
        """
        self.document = run(self._calls.wait_for_job(self.id, progress=progress))
        return self

    def events(self, *, after: str = "") -> Iterator[Event]:
        """What happens, as it happens, until it has ended; from the start, or after an event's id."""
        return iterate(self._calls.events(self.id, after))

    def samples(self, k: int) -> Image:
        """A picture of what the student of round ``k``, from 1, makes."""
        return run(self._calls.samples(self.id, k))

    def cancel(self) -> None:
        """Call it off. Idempotent."""
        self.document = run(self._calls.cancel(self.id))

    def retry(self) -> None:
        """Queue it again, failed or cancelled; it goes on from its last state."""
        self.document = run(self._calls.retry(self.id))

    def delete(self) -> None:
        """Remove it with all it has made."""
        run(self._calls.delete(self.id))

    def __repr__(self) -> str:
        return f"Job({self.id}, {self.name}: {self.document.state})"
