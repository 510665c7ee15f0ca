"""What jobs have added to the families on disk: checkpoints they made, and promotions of those into other families.

In Redis, so that a change is one atomic step for every process: ``fewstep:serving:made`` maps ``family/checkpoint`` to
a ``Made``; ``fewstep:serving:promoted`` maps ``family/steps`` to the promotions at that number of steps, last one in
force; ``fewstep:serving:version`` grows with every change. The files themselves are in the artifact store and never
change, so a request that was accepted before a promotion is sampled from what it named.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from redis import Redis

from core.catalog.card import Card, Family
from core.connections import text
from core.scripts import Script

MADE = "fewstep:serving:made"
PROMOTED = "fewstep:serving:promoted"
VERSION = "fewstep:serving:version"

_ROLLBACK = Script("catalog/shared", "catalog/rollback")


class Made(BaseModel):
    """A checkpoint that a job made.

    Attributes:
        artifact: Key of its folder in the artifact store.
        job: Id of the job.
        owner: Name of the key that the job belongs to; empty where keys were not asked for.
    """

    model_config = ConfigDict(frozen=True)

    card: Card
    artifact: str
    job: str
    owner: str = ""


class Promotion(BaseModel):
    """A checkpoint that took the place of another family's."""

    model_config = ConfigDict(frozen=True)

    family: Annotated[str, Field(description="That it came from")]
    checkpoint: str
    job: Annotated[str, Field(description="Id of the job that made it")]
    at: Annotated[float, Field(description="Seconds since the epoch")]
    frechet_distance: Annotated[float | None, Field(description="Of the promoted; null where it was not judged")] = None
    replaced: Annotated[str | None, Field(description="Name of the checkpoint that served before")] = None
    replaced_frechet_distance: float | None = None

    @property
    def name(self) -> str:
        """Its name in the family that it serves in."""
        return f"{self.checkpoint}.{self.family}"


@dataclass(frozen=True)
class Serving:
    """All that jobs have added, at one version.

    Attributes:
        made: By ``(family, checkpoint)``.
        promoted: By ``(family, steps)``, the last one in force.
    """

    version: int = 0
    made: Mapping[tuple[str, str], Made] = field(default_factory=dict)
    promoted: Mapping[tuple[str, int], list[Promotion]] = field(default_factory=dict)


def serving_key(family: str, last: str | int) -> str:
    """Of a checkpoint in ``MADE``, or of a number of steps in ``PROMOTED``."""
    return f"{family}/{last}"


def parse(version: bytes | None, made: Mapping[bytes, bytes], promoted: Mapping[bytes, bytes]) -> Serving:
    """The values of the three keys, as Redis gives them."""
    return Serving(
        int(version or 0),
        {_split(key): Made.model_validate_json(value) for key, value in made.items()},
        {
            (family, int(steps)): [Promotion.model_validate(one) for one in json.loads(value)]
            for key, value in promoted.items()
            for family, steps in [_split(key)]
        },
    )


def read(redis: Redis) -> Serving:
    """What there is now."""
    with redis.pipeline() as pipe:
        pipe.get(VERSION)
        pipe.hgetall(MADE)
        pipe.hgetall(PROMOTED)
        return parse(*pipe.execute())


def overlay(families: Mapping[str, Family], serving: Serving) -> dict[str, Family]:
    """The families on disk together with what jobs have made and promoted."""
    result = dict(families)
    for (name, checkpoint), made in serving.made.items():
        result[name] = _with(result.get(name) or Family(name, Path(name), {}, owner=made.owner), checkpoint, made)
    for (name, steps), promotions in serving.promoted.items():
        for promotion in promotions:
            found = serving.made.get((promotion.family, promotion.checkpoint))
            if found is None or name not in result:
                continue
            family = _with(result[name], promotion.name, found)
            result[name] = replace(family, promoted={**family.promoted, steps: promotion.name})
    return result


def rollback(redis: Redis, family: str, steps: int) -> Promotion | None:
    """Undo the last promotion; None where there is none."""
    undone = _ROLLBACK.run(redis, serving_key(family, steps))
    return None if undone is None else Promotion.model_validate_json(undone)


def _with(family: Family, checkpoint: str, made: Made) -> Family:
    return replace(
        family,
        cards={**family.cards, checkpoint: made.card},
        artifacts={**family.artifacts, checkpoint: made.artifact},
    )


def _split(key: bytes) -> tuple[str, str]:
    family, _, rest = text(key).rpartition("/")
    return family, rest
