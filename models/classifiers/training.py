"""Training a classifier: cross-entropy on images that are mirrored, shifted and cut out of."""

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.catalog.classifier_card import ClassifierCard
from core.errors import InvalidRequest
from core.training.options import ClassifierOptions
from models.classifiers.checkpoint import save_classifier
from models.classifiers.classifier import Classifier
from models.data.classes import count_classes, describe, in_classes_of
from models.data.dataset import Dataset, load_data
from models.data.images import to_float
from models.data.parquet_files import ALL_FOUND, Columns
from models.data.sources import NoSuchSplit
from models.training.batches import Batch, TrainingData
from models.training.execution import Execution
from models.training.parallel import Draws
from models.training.progress import OnProgress
from models.training.resume import facts_of
from models.training.trainer import Loss, TrainConfig, train
from models.training.trial import try_once

TEST_SHARE = 0.2
_EVALUATION_BATCH = 500


def shift(x: Tensor, *, most: int, draws: Draws) -> Tensor:
    """Each of (B, C, H, W) images moved by up to ``most`` pixels in each direction, its edge repeated behind it."""
    if most == 0:
        return x
    height, width = x.shape[2:]
    padded = functional.pad(x, (most, most, most, most), mode="replicate")
    rows = draws.randint(0, 2 * most + 1, (len(x), 1)) + torch.arange(height, device=x.device)
    columns = draws.randint(0, 2 * most + 1, (len(x), 1)) + torch.arange(width, device=x.device)
    index = torch.arange(len(x), device=x.device)[:, None, None]
    moved: Tensor = padded[index, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return moved


def cut_out(x: Tensor, *, side: int, draws: Draws) -> Tensor:
    """(B, C, H, W) images in [-1, 1], a square of ``side`` pixels of each grey.

    Its middle is anywhere in the image, so that it may lie in part outside (DeVries & Taylor 2017, section 3.2).
    """
    if side == 0:
        return x
    rows, columns = (_span(size, side=side, count=len(x), draws=draws) for size in x.shape[2:])
    return x.masked_fill(rows[:, None, :, None] & columns[:, None, None, :], 0.0)


def _span(size: int, *, side: int, count: int, draws: Draws) -> Tensor:
    """(count, size) bool: for each, where a span of ``side`` lies whose middle is one of ``size`` places."""
    first = draws.randint(0, size, (count, 1)) - side // 2
    place = torch.arange(size, device=first.device)
    return (first <= place) & (place < first + side)


def classification_loss(*, label_smoothing: float, shift_by: int, cutout: int) -> Loss:
    """Cross-entropy with label smoothing, of images shifted by up to ``shift_by`` pixels and cut out of.

    Args:
        label_smoothing: Share of each label that is spread over all classes.
        shift_by: As ``most`` of ``shift``.
        cutout: As ``side`` of ``cut_out``.
    """

    def loss(network: nn.Module, batch: Batch, draws: Draws) -> Tensor:
        assert batch.labels is not None
        images = cut_out(shift(batch.x, most=shift_by, draws=draws), side=cutout, draws=draws)
        logits, _ = network(images)
        return functional.cross_entropy(logits, batch.labels, label_smoothing=label_smoothing)

    return loss


@torch.inference_mode()
def accuracy(classifier: Classifier, data: TrainingData, between_batches: Callable[[], None] = lambda: None) -> float:
    """Share of a data set that the classifier gets right; leaves it in evaluation mode."""
    assert data.labels is not None
    classifier.eval()
    right = 0
    for images, labels in zip(data.images.split(_EVALUATION_BATCH), data.labels.split(_EVALUATION_BATCH), strict=True):
        logits, _ = classifier(to_float(images.to(classifier.mean.device)))
        right += int((logits.argmax(1) == labels.to(logits.device)).sum())
        between_batches()
    return right / len(data.images)


def split(data: TrainingData, *, seed: int) -> tuple[TrainingData, TrainingData]:
    """Four fifths to train on and one to test on, the same for the same seed."""
    assert data.labels is not None
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(data.images))).to(data.images.device)
    count = round(len(order) * TEST_SHARE)
    test, rest = order[:count], order[count:]
    return (
        TrainingData(data.images[rest], data.flip, data.labels[rest]),
        TrainingData(data.images[test], data.flip, data.labels[test]),
    )


@dataclass(frozen=True, kw_only=True)
class ClassifierRun:
    """All that the training of a classifier needs, loaded.

    Attributes:
        classifier: With fresh weights, on the device.
        dataset: What it learns from.
        training: The images to train on.
        testing: Images that it does not see.
        about: The data in a line or two.
        options: What was asked for.
        config: How it is trained.
        execution: How the network is run.
    """

    classifier: Classifier
    dataset: Dataset
    training: TrainingData
    testing: TrainingData
    about: str
    options: ClassifierOptions
    config: TrainConfig
    execution: Execution

    @property
    def facts(self) -> dict[str, object]:
        """What is done to images and labels, for the card."""
        return {
            "label_smoothing": self.options.label_smoothing,
            "shift_by": self.options.shift,
            "cutout": self.options.cutout,
        }

    def train(self, state_path: Path, on_progress: OnProgress) -> Classifier:
        """The trained network; arguments and errors as of ``models.training.trainer.train``."""
        trained = train(
            copy.deepcopy(self.classifier),
            loss=classification_loss(
                label_smoothing=self.options.label_smoothing,
                shift_by=self.options.shift,
                cutout=self.options.cutout,
            ),
            data=self.training,
            config=self.config,
            facts={**self.facts, "data_fingerprint": self.dataset.fingerprint},
            state_path=state_path,
            on_progress=on_progress,
            execution=self.execution,
        )
        assert isinstance(trained, Classifier)
        return trained

    def save(
        self,
        folder: Path,
        trained: Classifier,
        state_path: Path,
        *,
        command: str | None,
        between_batches: Callable[[], None] = lambda: None,
    ) -> ClassifierCard:
        """Write it with its accuracy on the images that it has not seen."""
        return save_classifier(
            folder,
            trained,
            architecture=self.options.architecture,
            image_shape=self.dataset.image_shape,
            class_names=self.dataset.class_names,
            accuracy=accuracy(trained, self.testing, between_batches),
            test_images=len(self.testing.images),
            data=self.dataset.name,
            data_fingerprint=self.dataset.fingerprint,
            hyper_parameters={
                **asdict(self.config),
                **facts_of(state_path),
                "precision": self.execution.precision_on(trained.mean.device),
                **self.facts,
            },
            command=command,
        )


def prepare_classifier(
    options: ClassifierOptions,
    *,
    data: str,
    test: str | None = None,
    size: int | None = None,
    columns: Columns = ALL_FOUND,
    device: torch.device,
    execution: Execution,
) -> ClassifierRun:
    """Load the data and make the network.

    Args:
        options: What was asked for.
        data: As of ``models.data.dataset.load_data``, with labels.
        test: Where the images to test on are; without it a fifth of ``data`` is kept for that.
        size: Side of the pictures.
        columns: Of tables.
        device: Where to.
        execution: How the network is run.

    Raises:
        InvalidRequest: The data are not to be had or have no labels, the test data others.
    """
    dataset = load_data(data, size=size, columns=columns)
    num_classes = count_classes(dataset)
    if num_classes < 2:
        raise InvalidRequest(f"{dataset.name}: all pictures are of one class; a classifier needs two", field="data")
    about, training = describe(dataset), TrainingData.from_dataset(dataset, device)
    if test:
        tested = _test_data(test, dataset, num_classes, size=size, columns=columns)
        about, testing = f"{about}\ntested on {describe(tested)}", TrainingData.from_dataset(tested, device)
    else:
        training, testing = split(training, seed=options.seed)
        if not len(testing.images):
            raise InvalidRequest(f"{dataset.name}: too few pictures to keep a fifth of them for a test", field="data")
    pixels = to_float(training.images)
    torch.manual_seed(options.seed)  # fresh weights
    classifier = Classifier(
        options.architecture,
        channels=dataset.image_shape[0],
        num_classes=num_classes,
        mean=tuple(pixels.mean((0, 2, 3)).tolist()),
        std=tuple(pixels.std((0, 2, 3)).tolist()),
    ).to(device)
    try_once(classifier, pixels[:1].to(device))
    return ClassifierRun(
        classifier=classifier,
        dataset=dataset,
        training=training,
        testing=testing,
        about=about,
        options=options,
        config=TrainConfig(
            iterations=options.iterations,
            batch_size=options.batch_size,
            optimizer=options.optimizer,
            learning_rate=options.learning_rate,
            decay="cosine",
            weight_decay=options.weight_decay,
            seed=options.seed,
        ),
        execution=execution,
    )


def _test_data(test: str, dataset: Dataset, num_classes: int, *, size: int | None, columns: Columns) -> Dataset:
    """The data to test on, their labels those of the training data; of data with splits, test or else validation.

    Raises:
        InvalidRequest: They have no such split, another shape, or classes that are not trained on.
    """
    columns = columns._replace(needed=False)  # they may be those of the training data alone
    try:
        try:
            tested = load_data(test, split="test", size=size, columns=columns)
        except NoSuchSplit:
            tested = load_data(test, split="validation", size=size, columns=columns)
    except InvalidRequest as error:
        raise InvalidRequest(error.detail, field="test" if error.field == "data" else error.field) from error
    if tested.image_shape != dataset.image_shape:
        raise InvalidRequest(
            f"{tested.name!r} has images of {tested.image_shape}, {dataset.name!r} of {dataset.image_shape}",
            field="test",
        )
    return in_classes_of(tested, dataset.class_names, count=num_classes, of=repr(dataset.name), field="test")
