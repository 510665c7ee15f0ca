"""The client for threads."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

import httpx

from fewstep_client.asking import settings_of
from fewstep_client.calls import Calls
from fewstep_client.documents import Event, JobDocument, Model, Upload
from fewstep_client.images import Image, Images
from fewstep_client.jobs import DISTILLING, TRAINING, JobCalls
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
        transport = Blocking(self._http)
        self._calls, self._jobs = Calls(transport, retries=retries), JobCalls(transport, retries=retries)

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

    def upload(self, place: str, path: str | Path, **options: object) -> Upload:
        """Bring a file, and wait until a worker has looked at it: what is refused is an ``InvalidRequest``.

        Args:
            place: ``datasets/{name}``, ``models/{family}/{checkpoint}`` or ``classifiers/{name}``.
            path: The file; its SHA-256 goes with it.
            options: How it is read, such as ``size=32`` of a data set.
        """
        return run(self._calls.upload(place, Path(path), options))

    def remove(self, place: str) -> None:
        """Remove what was brought to a place, unless it is used."""
        run(self._calls.remove(place))

    def train(self, kind: str, data: str, *, idempotency_key: str | None = None, **options: object) -> "Job":
        """Train a ``teacher`` or a ``classifier`` of a data set; ``options`` are fields of ``POST /training-jobs``."""
        body = {"kind": kind, "data": data, **options}
        return Job(self._jobs, run(self._jobs.create(TRAINING, body, idempotency_key)))

    def distill(self, teacher: str, *, idempotency_key: str | None = None, **options: object) -> "Job":
        """Make students of a teacher, ``family/checkpoint``; ``options`` are fields of ``POST /distill-jobs``."""
        return Job(self._jobs, run(self._jobs.create(DISTILLING, {"teacher": teacher, **options}, idempotency_key)))

    def job(self, id: str) -> "Job":
        """A job by its id."""
        return Job(self._jobs, run(self._jobs.find(id)))

    def jobs(self, state: str | None = None) -> Iterator["Job"]:
        """All jobs, newest first and in short; those in a state alone, if one is given."""
        return (Job(self._jobs, document) for document in iterate(self._jobs.jobs(state)))

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
    """A job that distils or trains.

    Attributes:
        document: As the service said last; `refresh` asks again.
    """

    def __init__(self, calls: JobCalls, document: JobDocument) -> None:
        self._calls = calls
        self.document = document

    @property
    def id(self) -> str:
        """By which `Client.job` finds it."""
        return self.document.id

    @property
    def name(self) -> str:
        """Of what it makes: the family that its students or its teacher serve as, or a classifier."""
        return self.document.name

    def refresh(self) -> JobDocument:
        """Ask for its state."""
        self.document = run(self._calls.look(self._path))
        return self.document

    def wait(self, *, progress: bool = True) -> Self:
        """Wait until it has succeeded, with a bar where there is a terminal or a notebook.

        Raises:
            JobFailed: It failed.
            Cancelled: It was called off.
        """
        self.document = run(self._calls.wait(self._path, progress=progress))
        return self

    def events(self, *, after: str = "") -> Iterator[Event]:
        """What happens, as it happens, until it has ended; from the start, or after an event's id."""
        return iterate(self._calls.events(self._path, after))

    def samples(self, k: int = 1) -> Image:
        """A picture of what the student of round ``k``, from 1, makes; or a teacher that was trained."""
        return run(self._calls.samples(self._path, k))

    def cancel(self) -> None:
        """Call it off. Idempotent."""
        self.document = run(self._calls.cancel(self._path))

    def retry(self) -> None:
        """Queue it again, failed or cancelled; it goes on from its last state."""
        self.document = run(self._calls.retry(self._path))

    def delete(self) -> None:
        """Remove it with all it has made."""
        run(self._calls.delete(self._path))

    @property
    def _path(self) -> str:
        return self.document.links["self"]

    def __repr__(self) -> str:
        return f"Job({self.id}, {self.name}: {self.document.state})"
