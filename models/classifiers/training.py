"""Training a classifier: cross-entropy on mirrored and shifted images."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.catalog.classifier_card import Architecture, ClassifierCard
from core.errors import InvalidRequest
from models.checkpoints.files import refuse_existing, state_path_of
from models.classifiers.checkpoint import save_classifier
from models.classifiers.classifier import Classifier
from models.data.dataset import load_data
from models.data.images import to_float
from models.sampling.engine import pick_device
from models.training.batches import Batch, TrainingData
from models.training.execution import AUTO, Execution
from models.training.parallel import Draws, refuse_processes
from models.training.progress import terminal_progress
from models.training.trainer import Loss, TrainConfig, train

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


def classification_loss(*, label_smoothing: float, shift_by: int) -> Loss:
    """Cross-entropy with label smoothing, of images shifted by up to ``shift_by`` pixels."""

    def loss(network: nn.Module, batch: Batch, draws: Draws) -> Tensor:
        assert batch.labels is not None
        logits, _ = network(shift(batch.x, most=shift_by, draws=draws))
        return functional.cross_entropy(logits, batch.labels, label_smoothing=label_smoothing)

    return loss


@torch.inference_mode()
def accuracy(classifier: Classifier, data: TrainingData) -> float:
    """Share of a data set that the classifier gets right; leaves it in evaluation mode."""
    assert data.labels is not None
    classifier.eval()
    right = 0
    for images, labels in zip(data.images.split(_EVALUATION_BATCH), data.labels.split(_EVALUATION_BATCH), strict=True):
        logits, _ = classifier(to_float(images.to(classifier.mean.device)))
        right += int((logits.argmax(1) == labels.to(logits.device)).sum())
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


def train_classifier(
    *,
    out: Path,
    architecture: Architecture,
    data: str,
    test: str | None = None,
    size: int | None = None,
    config: TrainConfig,
    label_smoothing: float = 0.0,
    shift_by: int = 0,
    device: str = "auto",
    execution: Execution = AUTO,
    command: str | None = None,
) -> ClassifierCard:
    """Train a classifier and write it with its accuracy on images that it has not seen.

    Args:
        out: Folder to write; the state of the run is beside it while it lasts.
        architecture: One of ``models.classifiers.classifier.SHAPES``.
        data: As of ``models.data.dataset.load_data``, with labels.
        test: Where the images to test on are; without it a fifth of ``data`` is kept for that.
        size: Side of the pictures.
        config: How to train.
        label_smoothing: Share of each label that is spread over all classes.
        shift_by: Most pixels by which an image is moved.
        device: As of ``models.sampling.engine.pick_device``.
        execution: How the network is run.
        command: Recorded in the card.

    Raises:
        InvalidRequest: ``out`` exists, the data have no labels, or data or device are not to be had.
        StopTraining: Stopped by Ctrl-C or SIGTERM.
    """
    refuse_processes("batch normalisation would see the images of one process only; start it without torchrun")
    refuse_existing(out)
    target = pick_device(device)
    dataset = load_data(data, size=size)
    tested = load_data(test, split="test", size=size) if test else dataset
    for given, option in ((dataset, "data"), (tested, "test")):
        if given.labels is None:
            raise InvalidRequest(f"{given.name}: its pictures have no labels, which a classifier needs", field=option)
    training = TrainingData.from_dataset(dataset, target)
    if test:
        testing = TrainingData.from_dataset(tested, target)
    else:
        training, testing = split(training, seed=config.seed)
    pixels = to_float(training.images)
    torch.manual_seed(config.seed)  # fresh weights
    classifier = Classifier(
        architecture,
        channels=dataset.image_shape[0],
        num_classes=int(dataset.labels.max()) + 1,  # type: ignore[union-attr]
        mean=tuple(pixels.mean((0, 2, 3)).tolist()),
        std=tuple(pixels.std((0, 2, 3)).tolist()),
    ).to(target)
    with terminal_progress(str(out), batch_size=config.batch_size) as on_progress:
        train(
            classifier,
            loss=classification_loss(label_smoothing=label_smoothing, shift_by=shift_by),
            data=training,
            config=config,
            state_path=state_path_of(out),
            on_progress=on_progress,
            execution=execution,
        )
    card = save_classifier(
        out,
        classifier,
        architecture=architecture,
        image_shape=dataset.image_shape,
        class_names=dataset.class_names,
        accuracy=accuracy(classifier, testing),
        test_images=len(testing.images),
        data=dataset.name,
        data_fingerprint=dataset.fingerprint,
        hyper_parameters={
            **asdict(config),
            "precision": execution.precision_on(target),
            "label_smoothing": label_smoothing,
            "shift_by": shift_by,
        },
        command=command,
    )
    state_path_of(out).unlink()
    return card
