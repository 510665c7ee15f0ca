"""The data sets that jobs can train on: what distillation workers have found and told.

The API can neither decode pictures nor see the folders of another machine, so workers describe what they have in the
hash ``fewstep:datasets``, by name. The digits that ship are known without a worker.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from redis import Redis

from core.connections import text

KEY = "fewstep:datasets"


class DataRef(BaseModel):
    """A data set that was uploaded, as it was when it was named.

    Attributes:
        artifact: Key of the file in the artifact store.
        sha256: Of the file.
        size: Side of the squares that its pictures are cropped and resized to; None: as they are.
        image_column: Of a table, which is read; None: the only one.
        label_column: Likewise.
    """

    model_config = ConfigDict(frozen=True)

    artifact: str
    sha256: str
    size: int | None = None
    image_column: str | None = None
    label_column: str | None = None


class DatasetFacts(BaseModel):
    """A data set, or why it cannot be used.

    Attributes:
        ref: Where it is, if it was uploaded.
        owner: Name of the key that it belongs to; empty where it is everyone's.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    image_shape: Annotated[tuple[int, int, int] | None, Field(description="Channels, height, width")] = None
    images: Annotated[int | None, Field(description="Number of training images")] = None
    num_classes: Annotated[int | None, Field(description="Null where pictures have no labels")] = None
    class_names: Annotated[tuple[str, ...] | None, Field(description="Name of each class, where known")] = None
    fingerprint: Annotated[str | None, Field(description="Hash of the decoded training images and labels")] = None
    error: Annotated[str | None, Field(description="Why it cannot be used; null if it can")] = None
    ref: Annotated[DataRef | None, Field(exclude=True)] = None
    owner: Annotated[str, Field(exclude=True)] = ""


DIGITS = DatasetFacts(
    name="digits",
    image_shape=(1, 16, 16),
    images=1797,
    num_classes=10,
    class_names=tuple("0123456789"),
    fingerprint="93aff39bef4cfcf14fb71ca59a4edc6ea47e6ee4ce820afd295b7bce846bcccd",
)


def read(redis: Redis) -> dict[str, DatasetFacts]:
    """All data sets by name."""
    told = {text(name): DatasetFacts.model_validate_json(facts) for name, facts in redis.hgetall(KEY).items()}
    return {DIGITS.name: DIGITS, **dict(sorted(told.items()))}


def tell(redis: Redis, found: list[DatasetFacts]) -> None:
    """Replace what is known of data sets."""
    with redis.pipeline() as pipe:
        pipe.delete(KEY)
        for facts in found:
            pipe.hset(KEY, facts.name, facts.model_dump_json())
        pipe.execute()
