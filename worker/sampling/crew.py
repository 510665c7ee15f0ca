"""The threads of a sampling worker beside that of its device: what begins requests, and what finishes them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from core.generation.request import Generation
from core.log import get_logger
from worker.sampling.batcher import Job
from worker.sampling.dispatcher import Dispatcher
from worker.sampling.generate import Request, fail, finish, in_pieces, job_of

FINISHING = 4
"""Threads that encode and write results: a batch each, so that one of large pictures does not hold up the next."""

log = get_logger(__name__)


class Crew:
    """A context manager within that of the dispatcher; at its end it waits for what it works on."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        settings = dispatcher.settings
        self._dispatcher = dispatcher
        self._loading = ThreadPoolExecutor(settings.sampler_threads, thread_name_prefix="load")
        self._finishing = ThreadPoolExecutor(FINISHING, thread_name_prefix="finish")
        self._in_pieces = ThreadPoolExecutor(settings.bulk_threads, thread_name_prefix="pieces")
        self._places = settings.bulk_threads
        self._lock = Lock()
        dispatcher.on_ended = self._finish

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        self._loading.shutdown()
        self._in_pieces.shutdown()
        self._dispatcher.device.wait_until_idle()
        self._finishing.shutdown()

    @property
    def free_places(self) -> int:
        """How many requests with a result in pieces there is room for."""
        return self._places

    def begin(self, generations: Sequence[Generation]) -> None:
        """Let them be sampled, together where they can be; returns without waiting for anything."""
        jobs = []
        for generation in generations:
            request = Request(generation)
            if generation.pieces:
                self._occupy(1)
                self._start(self._in_pieces, self._do_in_pieces, request)
            elif (group := self._dispatcher.group_at_once(generation)) is None:
                self._start(self._loading, self._load, request)
            else:
                try:
                    jobs.append(job_of(request, group, self._dispatcher))
                except Exception as error:
                    self._start(self._finishing, fail, request, error, self._dispatcher)
        if jobs:
            self._dispatcher.device.submit(*jobs)

    def _load(self, request: Request) -> None:
        try:
            group = self._dispatcher.group(request.generation)
            self._dispatcher.device.submit(job_of(request, group, self._dispatcher))
        except Exception as error:
            fail(request, error, self._dispatcher)

    def _do_in_pieces(self, request: Request) -> None:
        try:
            in_pieces(request, self._dispatcher)
        finally:
            self._occupy(-1)

    def _finish(self, jobs: Sequence[Job]) -> None:
        self._start(self._finishing, finish, jobs, self._dispatcher)

    def _occupy(self, places: int) -> None:
        with self._lock:
            self._places -= places

    def _start(self, pool: ThreadPoolExecutor, work: Callable[..., None], *arguments: object) -> None:
        pool.submit(_logged, work, *arguments)


def _logged(work: Callable[..., None], *arguments: object) -> None:
    try:
        work(*arguments)
    except Exception:
        # The record still says that it is this worker's: it is queued again at a heartbeat.
        log.exception("request left")
