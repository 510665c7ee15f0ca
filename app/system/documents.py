"""What ``/system`` answers."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from core.jobs.record import JobState
from core.queues import Queue


class WorkerSummary(BaseModel):
    """A worker that is there and takes work; beside these it says of itself what is of its kind alone."""

    name: str
    host: Annotated[str | None, Field(description="Machine")]
    device: Annotated[str | None, Field(description="What it works on: cpu, cuda, cuda:1, …")]
    processor: Annotated[str | None, Field(description="Kind of that device")]
    facts: Annotated[dict[str, Any], Field(description="All that it says of itself, as in `/readyz`")]


class QueueSummary(BaseModel):
    """Requests, or messages of jobs, and who takes them."""

    waiting: Annotated[int, Field(description="Those that no worker has taken")]
    in_hand: Annotated[int, Field(description="Those that a worker has taken and not finished")]
    oldest_age_s: Annotated[float, Field(description="Age of the oldest that waits; 0 if none does")]
    workers: list[WorkerSummary]


class RecentSummary(BaseModel):
    """What the process that answers did lately; each of several API processes tells of itself."""

    images_per_second: Annotated[float, Field(description="In answers of the last minute")]
    requests: Annotated[int, Field(description="`POST /generate` that waited for their images, in five minutes")]
    p50_s: Annotated[float | None, Field(description="Median time of those; null: there were none")]
    p95_s: float | None


class Limits(BaseModel):
    """What may be asked for."""

    images: Annotated[int, Field(description="Most images of a request")]
    bulk_images: Annotated[int, Field(description="Most of an asynchronous one for a zip or npy")]
    steps: Annotated[int, Field(description="Most steps of a request that waits for its answer")]
    checkpoint_steps: Annotated[int, Field(description="Most steps of an asynchronous one that names a checkpoint")]
    seed: Annotated[int, Field(description="Largest seed")]


class SystemResponse(BaseModel):
    """What the service is doing."""

    version: str
    default_model: str
    queues: dict[Queue, QueueSummary]
    requests_queued: Annotated[int, Field(description="Generations that no worker has begun")]
    jobs: Annotated[dict[JobState, int], Field(description="Distillation jobs by state")]
    recent: RecentSummary
    limits: Limits
    links: Annotated[dict[str, str], Field(description="Where to see more: docs, metrics and, if it is known, grafana")]
