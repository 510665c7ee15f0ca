"""What the service says of models and jobs. Members that are not here are kept as they came."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

ENDED = frozenset({"succeeded", "failed", "cancelled"})


class _Document(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class Model(_Document):
    """A family of checkpoints."""

    name: str
    default: Annotated[bool, Field(description="Whether a request without a model gets this one")]
    steps: Annotated[dict[int, str], Field(description="The checkpoint that serves each number of steps")]
    image_shape: Annotated[tuple[int, int, int], Field(description="Channels, height, width")]
    checkpoints: Annotated[dict[str, dict[str, Any]], Field(description="Each in short, by name")]


class Upload(_Document):
    """A file that was brought, and what a worker made of it."""

    id: str
    kind: str
    name: Annotated[str, Field(description="As which it is listed")]
    state: Annotated[str, Field(description="received, looking, ready or refused")]
    reason: Annotated[str | None, Field(description="Why it is refused")] = None
    sha256: str
    links: dict[str, str]


class Round(_Document):
    """A finished round of a job."""

    k: Annotated[int, Field(description="From 1")]
    steps: int
    checkpoint: Annotated[str, Field(description="family/name, as which it serves once the job has succeeded")]
    metrics: dict[str, Any] | None = None


class JobDocument(_Document):
    """A job, as it stood when the service was asked last."""

    id: str
    name: Annotated[str, Field(description="Of what it makes, listed once it has succeeded: a family or a classifier")]
    state: Annotated[str, Field(description="queued, running, cancelling, succeeded, failed or cancelled")]
    round: Annotated[int, Field(description="The one under way, from 1")]
    rounds: int
    iteration: Annotated[int, Field(description="Of that round")]
    iterations: int
    loss: float | None = None
    eta_s: Annotated[float | None, Field(description="Seconds of training until all is done; None: unknown")] = None
    error: Annotated[dict[str, Any] | None, Field(description="The problem of a failed job")] = None
    finished: Annotated[list[Round], Field(description="Rounds of distillation that are done")] = []
    made: Annotated[dict[str, Any] | None, Field(description="What a training made: its name, metrics")] = None
    links: Annotated[dict[str, str], Field(description="Paths of the service")]

    @property
    def progress(self) -> float:
        """Share of all rounds that is done, 0 to 1; each counts the same."""
        done = 1.0 if self.state == "succeeded" else self.iteration / max(self.iterations, 1)
        return min(1.0, (self.round - 1 + done) / max(self.rounds, 1))


@dataclass(frozen=True)
class Event:
    """What happened to a job: its state, progress, a round that is done."""

    id: str
    kind: str
    data: dict[str, Any]


async def events_of(lines: AsyncIterator[str]) -> AsyncGenerator[Event]:
    """Server-sent events of the lines of a stream; comments are passed over, and one that was cut off is none."""
    fields: dict[str, str] = {}
    async for line in lines:
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and name in fields else value
        elif "data" in fields:
            yield Event(fields.get("id", ""), fields.get("event", "message"), json.loads(fields["data"]))
            fields = {}
