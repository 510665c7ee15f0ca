"""What ships in checkpoints/ must be what the README says it is."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
import torch

from core.catalog.card import SHIPPED_CHECKPOINTS, Family, list_families, read_card
from core.catalog.classifier_card import read_classifier_card
from models.data.dataset import load_data
from models.data.images import Pictures
from models.evaluation.evaluate import evaluate
from models.evaluation.extractors import judge_extractor
from models.evaluation.reference import load_reference
from models.sampling.engine import Sampler
from tests.models import diffusers

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier  # type: ignore[import-untyped]

DIGITS = SHIPPED_CHECKPOINTS / "digits"
SAMPLES = 200
FAMILIES = list_families(SHIPPED_CHECKPOINTS)
SHIPPED = [family.path / name for family in FAMILIES.values() for name in family.cards]
MOST_BYTES = {"digits": (4_000_000, 10_000_000), "cifar10": (12_000_000, 40_000_000)}
"""Of a checkpoint, and of all that a family has."""


def test_digits_comes_as_teacher_and_students_of_1_2_4_and_8_steps() -> None:
    family = Family.read(DIGITS)
    assert list(family.steps) == [1, 2, 4, 8, 1024]
    assert family.checkpoint_for(1024) == "teacher"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_small(family: str) -> None:
    files = FAMILIES[family].path.rglob("*")
    assert sum(file.stat().st_size for file in files if file.is_file()) <= MOST_BYTES[family][1]


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_a_shipped_checkpoint_loads_is_small_and_says_how_it_was_made(folder: Path) -> None:
    card = Sampler(folder).card
    most, _ = MOST_BYTES[folder.parent.name]
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) <= most
    assert (card.command or "").startswith("fewstep ")
    assert card.data or card.parent
    assert card.hyper_parameters


@pytest.mark.parametrize(
    "folder", [path for path in SHIPPED if path.parent == DIGITS and path.name != "teacher"], ids=lambda path: path.name
)
def test_plain_diffusers_gives_our_images(folder: Path) -> None:
    """The call that the card and ``docs/checkpoints.md`` give, to within one level."""
    seeds = list(range(8))
    pipeline = diffusers.DDIMPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    pictures = pipeline(
        num_inference_steps=Sampler(folder).card.num_steps,
        use_clipped_model_output=True,
        batch_size=len(seeds),
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],
    ).images
    theirs = np.stack([np.asarray(picture.convert("L")) for picture in pictures])[..., np.newaxis]
    ours = Sampler(folder).sample(seeds=seeds)
    assert np.abs(theirs.astype(int) - ours).max() <= 1


@pytest.fixture(scope="module")
def judge() -> "MLPClassifier":
    """Fitted on the real digits; fitted on four fifths of them, it is 0.9 sure of 95% of the others."""
    from sklearn.neural_network import MLPClassifier  # a second, which no other test is to wait

    real = load_data("digits")
    return MLPClassifier((128,), max_iter=300, random_state=0).fit(flat(real.images), real.labels)


def flat(images: Pictures) -> npt.NDArray[np.float64]:
    return images.reshape(len(images), -1) / 255.0


@pytest.mark.slow
@pytest.mark.parametrize(("num_steps", "least_sure"), [(1, 0.8), (2, 0.85), (4, 0.85), (8, 0.8)])
def test_samples_are_digits_of_every_class(judge: "MLPClassifier", num_steps: int, least_sure: float) -> None:
    folder = DIGITS / Family.read(DIGITS).checkpoint_for(num_steps)
    probabilities = judge.predict_proba(flat(Sampler(folder).sample(seeds=range(SAMPLES))))
    share = np.bincount(probabilities.argmax(1), minlength=10) / SAMPLES
    assert share.min() >= 0.04, share
    assert (probabilities.max(1) >= 0.9).mean() >= least_sure


@pytest.mark.slow
def test_one_step_is_far_nearer_to_real_digits_than_the_teacher_in_one_and_two() -> None:
    device = torch.device("cpu")
    real = load_data("digits")
    extractor = judge_extractor(DIGITS / "judge", image_shape=real.image_shape, device=device)
    reference = load_reference("digits", real, size=None, extractor=extractor)

    def distance(name: str, num_steps: int) -> float:
        sampler = Sampler(DIGITS / name, device="cpu")
        return evaluate(
            sampler, num_steps=num_steps, count=SAMPLES, extractor=extractor, train=real, reference=reference
        ).frechet_distance

    assert 5 * distance("1-step", 1) < min(distance("teacher", 1), distance("teacher", 2))


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_a_card_says_how_good_its_checkpoint_is(folder: Path) -> None:
    """By the judge and, where they ship, the data, which is where a later evaluation finds what to compare with."""
    judge, card = read_classifier_card(folder.parent / "judge"), read_card(folder)
    figures = card.metrics["evaluations"]
    steps = [1, 2, 4, 8] if folder.name == "teacher" else [card.num_steps]
    assert sorted(one["num_steps"] for one in figures if one["extractor_sha256"] == judge.sha256) == steps
    fingerprint = load_data("digits").fingerprint if folder.parent == DIGITS else judge.data_fingerprint
    assert {one["data_fingerprint"] for one in figures} == {fingerprint}
