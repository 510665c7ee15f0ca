"""Judging checkpoints: figures of their samples against a data set, each with all that it depends on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.catalog.card import CARD_NAME, Card, Family, read_card
from core.errors import FewstepError, InvalidRequest
from models.checkpoints.files import in_place_of
from models.data.dataset import Dataset
from models.evaluation.extractors import Extractor
from models.evaluation.fidelity import (
    NEIGHBOURS,
    frechet_distance,
    inception_score,
    moments,
    radii,
    rightness,
    share_within,
    sureness,
)
from models.evaluation.reference import MOST_NEIGHBOURHOODS, Reference
from models.sampling.engine import Sampler, class_labels
from models.training.execution import Precision

EVALUATIONS = "evaluations"
"""Where a card's metrics have them."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Figures of a checkpoint at one number of steps; they compare with others of the same extractor, data and count.

    Attributes:
        num_steps: DDIM steps of each sample.
        samples: Their number.
        first_seed: Of the first; the others follow.
        extractor: Name of the network that judges.
        extractor_sha256: Of its weights.
        data: The reference set.
        data_split: Of which split.
        data_fingerprint: Hash of its decoded images and labels.
        data_images: Their number.
        floor: Fréchet distance of real images to real images.
        floor_of: Which images those are.
        frechet_distance: Of the samples to the reference set.
        inception_score: With the classes of the extractor, mean over ten splits of the samples.
        inception_score_deviation: Over those splits.
        precision: Share of samples within the manifold of real images.
        recall: Share of real images within the manifold of samples.
        sure: Share of samples of which a judge that knows the classes is at least 0.9 sure; else None.
        smallest_class: Share of the class that such a judge finds least often.
        right: Share of class-conditional samples in which such a judge finds the class they are of; else None.
        least_right: The same of the class in whose samples it finds it least often.
        sampled_in: Precision of the network that sampled.
    """

    num_steps: int
    samples: int
    first_seed: int
    extractor: str
    extractor_sha256: str
    data: str
    data_split: str
    data_fingerprint: str
    data_images: int
    floor: float
    floor_of: str
    frechet_distance: float
    inception_score: float
    inception_score_deviation: float
    precision: float
    recall: float
    sure: float | None
    smallest_class: float | None
    right: float | None
    least_right: float | None
    sampled_in: Precision


def default_count(train: Dataset) -> int:
    """As many samples as there are real images, but 2,000 at least and 50,000 at most."""
    return min(max(len(train.images), 2_000), 50_000)


def pairs_of(family: Family) -> Iterator[tuple[Path, int]]:
    """What to judge of a family: each student, and beside it the teacher by DDIM in as many steps.

    Raises:
        InvalidRequest: It has no students.
    """
    *students, most = family.steps
    if not students:
        raise InvalidRequest(f"{family.name!r} has no students; name the steps to sample it in", field="steps")
    for num_steps in reversed(students):
        if family.cards[family.steps[most]].can_walk(num_steps):
            yield family.path / family.steps[most], num_steps
        yield family.path / family.steps[num_steps], num_steps


def evaluate(
    sampler: Sampler,
    *,
    num_steps: int,
    count: int,
    first_seed: int = 0,
    extractor: Extractor,
    train: Dataset,
    reference: Reference,
    between_batches: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Sample a checkpoint and judge what comes out.

    Args:
        sampler: The checkpoint.
        num_steps: As of ``Card.can_walk``.
        count: Samples, more than 3; seeds are ``first_seed`` and those that follow.
        first_seed: Of the first sample.
        extractor: What judges.
        train: The reference set.
        reference: What ``extractor`` makes of it.
        between_batches: As of ``Sampler.sample``.

    Raises:
        InvalidRequest: The samples are too few or of another shape than the data, or the steps no divisor.
    """
    if count <= NEIGHBOURS:
        raise InvalidRequest(f"{count} samples are too few to judge by; the least is {NEIGHBOURS + 1}", field="n")
    if sampler.card.image_shape != train.image_shape:
        raise InvalidRequest(
            f"{train.name} has images of {train.image_shape}, the checkpoint of {sampler.card.image_shape}",
            field="data",
        )
    seeds = range(first_seed, first_seed + count)
    logits, features = extractor.extract(
        sampler.sample(seeds=seeds, num_steps=num_steps, between_batches=between_batches)
    )
    score, deviation = inception_score(logits)
    drawn = features[:MOST_NEIGHBOURHOODS]
    sure, smallest_class = sureness(logits) if extractor.knows_classes else (None, None)
    classes = _classes(sampler.card, seeds, extractor)
    right, least_right = (None, None) if classes is None else rightness(logits, classes)
    return Evaluation(
        num_steps=num_steps,
        samples=count,
        first_seed=first_seed,
        extractor=extractor.name,
        extractor_sha256=extractor.sha256,
        data=train.name,
        data_split="train",
        data_fingerprint=train.fingerprint,
        data_images=len(train.images),
        floor=reference.floor,
        floor_of=reference.floor_of,
        frechet_distance=frechet_distance(moments(features), reference.moments),
        inception_score=score,
        inception_score_deviation=deviation,
        precision=share_within(drawn, centres=reference.features, radii=reference.radii),
        recall=share_within(reference.features, centres=drawn, radii=radii(drawn)),
        sure=sure,
        smallest_class=smallest_class,
        right=right,
        least_right=least_right,
        sampled_in=sampler.precision,
    )


def _classes(card: Card, seeds: Sequence[int], judge: Extractor) -> Tensor | None:
    """The class of each sample, (N,) int64, by the judge's numbers; None if they have none or the judge others."""
    if card.num_classes is None or not judge.knows_classes:
        return None
    labels = torch.tensor(class_labels(card, seeds))
    if card.class_names is None or judge.class_names is None:
        return labels
    if not set(card.class_names) <= set(judge.class_names):
        return None
    return torch.tensor([judge.class_names.index(name) for name in card.class_names])[labels]


def save_evaluation(checkpoint: Path, evaluation: Evaluation) -> None:
    """Write figures into ``metrics`` of a checkpoint's card, in place of those that were taken in the same way.

    Raises:
        FewstepError: The card cannot be written.
    """
    card = read_card(checkpoint)
    new = asdict(evaluation)
    kept = [old for old in card.metrics.get(EVALUATIONS, []) if not _same_way(old, new)]
    metrics = {**card.metrics, EVALUATIONS: [*kept, new]}
    try:
        with in_place_of(checkpoint / CARD_NAME) as file:
            file.write(card.model_copy(update={"metrics": metrics}).model_dump_json(indent=2).encode() + b"\n")
    except OSError as error:
        raise FewstepError(f"{checkpoint / CARD_NAME}: cannot be written ({error.strerror})") from error


def _same_way(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether two evaluations of a checkpoint are of the same; older ones do not say in which precision."""
    names = ("num_steps", "samples", "first_seed", "extractor_sha256", "data_fingerprint")
    return (
        all(old[name] == new[name] for name in names) and old.get("sampled_in", new["sampled_in"]) == new["sampled_in"]
    )
