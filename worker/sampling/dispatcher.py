"""What a sampling worker works with, and how images get from a request to its device and back."""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from redis import Redis
from redis.exceptions import RedisError

from core import presence
from core.catalog.artifacts import open_artifacts
from core.generation import throughput, work
from core.generation.request import MAX_STEPS, Generation
from core.generation.stored import keep
from core.generation.work import Room
from core.log import get_logger
from core.queues import Queue
from core.settings import Settings
from models.data.images import Pictures
from models.sampling.engine import Sampler, class_labels, noise_for, pick_device
from models.sampling.host import is_lost
from worker.locations import checkpoint_folder
from worker.sampling import metrics
from worker.sampling.batcher import Job, Unwanted
from worker.sampling.costs import Costs
from worker.sampling.device import Device
from worker.sampling.samplers import Samplers
from worker.sampling.watch import Watch

UNKNOWN_BATCH = 16
"""Images that are taken at once while nothing was sampled yet."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Group:
    """Images of one checkpoint in one number of steps are sampled together.

    Attributes:
        name: ``family/checkpoint``.
        sampler: The checkpoint, loaded; another one after its folder was replaced.
        steps: A divisor of the checkpoint's own, or None for those.
        key: What can be sampled together, as of ``Generation.group``; empty where nobody asked for it.
    """

    name: str
    sampler: Sampler
    steps: int | None = None
    key: str = ""

    @property
    def labels(self) -> tuple[str, str]:
        """Model and steps in metrics."""
        return self.name.rpartition("/")[0], str(self.num_steps)

    @property
    def num_steps(self) -> int:
        """Steps that it is sampled in."""
        return self.steps or self.sampler.card.num_steps

    @property
    def is_traffic(self) -> bool:
        """Whether anybody asked for them."""
        return bool(self.key)

    @property
    def is_long(self) -> bool:
        """Whether others go first between two steps, and its progress is told."""
        return self.num_steps > MAX_STEPS


class Dispatcher:
    """A context manager: while it is entered, what is submitted is sampled.

    Attributes:
        worker: The worker's name, new with each start.
        in_hand: What this process is working on: each id with the job that is being sampled for it, if there is one.
        on_ended: Told, in the thread of the device, of jobs of requests that ended, those of a batch together.
        most_images: How many were sampled at once at most, for what came last.
    """

    def __init__(self, settings: Settings, redis: Redis, worker: str) -> None:
        self.settings = settings
        self.redis = redis
        self.worker = worker
        self._where = pick_device(settings.device)
        self.samplers = Samplers(
            settings.device, max_bytes=settings.cache_bytes, precision=settings.precision, on_failure=self._end_if_lost
        )
        self.costs = Costs()
        self.artifacts = open_artifacts(settings)
        self._met: dict[Path, tuple[str, set[tuple[str, str]]]] = {}  # of each folder: name and labels of its groups
        self._folders: dict[tuple[str, str, str | None], Path] = {}
        self.in_hand: dict[str, Job | None] = {}
        self._taking = Lock()
        self.on_ended: Callable[[list[Job]], None] = lambda _: None
        self.most_images = settings.max_batch or UNKNOWN_BATCH
        self.device = Device(
            self._run, ended=self._ended, estimate=self.estimate, lets_pass=lambda group: bool(group.is_long)
        )
        self._watch = Watch(redis, worker, self.in_hand)

    def __enter__(self) -> "Dispatcher":
        self.device.__enter__()
        self._watch.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.device.__exit__()
        self._watch.__exit__()

    def group(self, generation: Generation) -> Group:
        """What a generation is sampled with; errors as of ``Samplers.get``."""
        folder = checkpoint_folder(
            self.settings,
            self.artifacts,
            family=generation.model,
            checkpoint=generation.checkpoint,
            artifact=generation.artifact,
        )
        self._folders[generation.model, generation.checkpoint, generation.artifact] = folder
        return self._group(generation, folder, self.samplers.get(folder))

    def group_at_once(self, generation: Generation) -> Group | None:
        """The same if it is loaded and nothing on disk has changed, else None."""
        folder = self._folders.get((generation.model, generation.checkpoint, generation.artifact))
        sampler = None if folder is None else self.samplers.get_at_once(folder)
        return None if folder is None or sampler is None else self._group(generation, folder, sampler)

    def _group(self, generation: Generation, folder: Path, sampler: Sampler) -> Group:
        group = Group(f"{generation.model}/{generation.checkpoint}", sampler, generation.steps, generation.group)
        known = self._met[folder][1] if folder in self._met else set()
        if group.labels not in known:
            self._met[folder] = group.name, known | {group.labels}
        return group

    def forget_gone(self) -> None:
        """Keep nothing of checkpoints whose folders are gone: neither weights nor metrics nor costs."""
        self.samplers.forget_gone()
        gone = {folder: self._met.pop(folder) for folder in list(self._met) if not folder.exists()}
        self._folders = {key: folder for key, folder in list(self._folders.items()) if folder not in gone}
        kept = {labels for _, several in list(self._met.values()) for labels in several}
        for name, several in gone.values():
            self.costs.forget(name)
            throughput.forget(self.redis, name)
            for labels in several - kept:
                metrics.forget(*labels)

    def precisions(self) -> dict[str, str]:
        """What each checkpoint that is loaded is sampled in, by ``family/checkpoint``."""
        loaded = self.samplers.loaded()
        warm = {folder: f"{folder.parent.name}/{folder.name}" for folder in loaded}
        met = {folder: name for folder, (name, _) in list(self._met.items())}
        return {(warm | met)[folder]: sampler.precision for folder, sampler in loaded.items()}

    def obstacles(self) -> list[str]:
        """Why checkpoints that are loaded run slower than a GPU could: not compiled, or not recorded; each once."""
        facts = [sampler.facts for sampler in self.samplers.loaded().values()]
        said = [why for each in facts if isinstance(why := each.get("compiled"), str)]
        return sorted({*said, *(why for each in facts for why in each.get("not_recorded", {}).values())})

    def take(self, redis: Redis, room: Room, *, waits: bool, more: Callable[[], None]) -> list[Generation]:
        """What to do next, in hand from now on; as of ``core.generation.work.take``.

        ``more`` is called where another worker must be sent a message.
        """
        with self._taking:
            taken, message = work.take(redis, self.worker, room, waits=waits)
            self.in_hand.update(dict.fromkeys((one.id for one in taken), None))
        metrics.IN_HAND.set(len(self.in_hand))
        if message:
            more()
        return taken

    @property
    def most_in_hand(self) -> int:
        """Requests beyond which no more are taken."""
        return max(self.settings.sampler_threads, 3 * self.most_images)

    def running(self) -> tuple[dict[str, str], set[str]]:
        """Which worker has which generation, by Redis; and what this one really works on."""
        with self._taking:
            return work.running(self.redis), set(self.in_hand)

    def append(self, generation: Generation, chunk: bytes, *, number: int, images: int, stored: bool) -> bool:
        """Add a chunk to a result, in Redis or ``stored`` in a file; as of ``core.generation.work.append``."""
        piece: bytes | str = chunk
        if stored:
            piece = keep(self.artifacts, chunk, record_id=generation.id, worker=self.worker, number=number)
        ttl_s = self.settings.result_ttl_s
        is_its = work.append(self.redis, generation.id, self.worker, piece, images=images, ttl_s=ttl_s, stored=stored)
        if isinstance(piece, str) and not is_its:
            self.artifacts.remove(piece)  # whoever removed the others did not see it
        return is_its

    def release(self, record_ids: Iterable[str]) -> None:
        """They have ended, or are none of this process's any more."""
        for record_id in record_ids:
            self.in_hand.pop(record_id, None)
        metrics.IN_HAND.set(len(self.in_hand))

    def job(
        self, generation: Generation, group: Group, seeds: Sequence[int], *, trace: str, request: object = None
    ) -> Job:
        """What samples a picture a seed; it ends with ``NotWanted`` where somebody cancels the generation."""
        card = group.sampler.card
        job = Job(
            group,
            list(zip(seeds, class_labels(card, seeds, generation.class_label), strict=True)),
            max_batch=self._max_batch(group.sampler),
            deadline=generation.deadline,
            bulk=generation.priority == "bulk",
            trace=trace,
            request=request,
        )
        self.in_hand[generation.id] = job
        return job

    def estimate(self, group: Group, images: int) -> float:
        """Seconds that a batch takes if it is as fast as the latest one; 0 where there was none."""
        return images * self.costs.latest.get(group.name, 0.0)

    def sample_for_nobody(self, group: Group, count: int) -> None:
        """Sample a batch of a group without a key as for a request, and wait for it."""
        job = Job(group, [(seed, 0) for seed in range(count)], max_batch=count)
        self.device.submit(job)
        job.done.result()

    def _run(
        self, group: Group, inputs: Sequence[tuple[int, int]], between_steps: Callable[[], None]
    ) -> list[Pictures]:
        seeds, labels = zip(*inputs, strict=True)
        try:
            with self._measured(group, len(inputs)):
                noise = noise_for(seeds, group.sampler.card.image_shape)
                between = between_steps if group.is_long else None
                pictures = list(
                    group.sampler.sample_noise(noise, labels=labels, num_steps=group.num_steps, between_steps=between)
                )
        except Unwanted:
            raise
        except Exception as error:  # it is tried again in parts, which may hide it
            log.warning("batch failed", images=len(inputs), error=f"{type(error).__name__}: {error}")
            if group.is_traffic:
                metrics.BATCH_FAILURES.inc()
            self._end_if_lost()
            raise
        if group.is_traffic:
            self.most_images = self._max_batch(group.sampler)
            self._count(group, len(inputs))
        return pictures

    def _ended(self, jobs: list[Job]) -> None:
        if of_requests := [job for job in jobs if job.request is not None]:
            self.on_ended(of_requests)

    def _measured(self, group: Group, images: int) -> AbstractContextManager[None]:
        """Costs are known by checkpoint, in its own steps."""
        if group.is_long or group.num_steps != group.sampler.card.num_steps:
            return nullcontext()
        return self.costs.measure(group.name, images, group.sampler.max_batch)

    def _end_if_lost(self) -> None:
        """End this process where its GPU is lost: others take over what it has in hand, and a new one gets the GPU.

        At once, since whatever is tried here fails, and would fail requests.
        """
        if not is_lost(self._where):
            return
        log.critical("device lost, this worker ends", device=str(self._where), in_hand=len(self.in_hand))
        with suppress(RedisError, OSError):  # else its missing heartbeats say so
            presence.leave(self.redis, Queue.SAMPLING, self.worker)
        os._exit(1)

    def _count(self, group: Group, images: int) -> None:
        sampler = group.sampler
        metrics.BATCH_IMAGES.labels(*group.labels).observe(images)
        metrics.BATCH_FILL.observe(images / self._max_batch(sampler))
        metrics.IMAGES.labels(*group.labels).inc(images)
        metrics.PRECISIONS.labels(sampler.precision).inc(images)
        metrics.FLOP.labels(*group.labels).inc(images * group.num_steps * sampler.flops)

    def _max_batch(self, sampler: Sampler) -> int:
        return min(self.settings.max_batch or sampler.max_batch, sampler.max_batch)
