"""Classifiers on disk: ``classifier.json`` beside ``model.safetensors``."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from core.catalog.card import CheckpointError
from core.catalog.classifier_card import CLASSIFIER_CARD_NAME, Architecture, ClassifierCard, read_classifier_card
from models.checkpoints.files import new_folder, sha256, verify_weights
from models.classifiers.classifier import Classifier

_WEIGHTS = "model.safetensors"


def save_classifier(
    folder: Path,
    classifier: Classifier,
    *,
    architecture: Architecture,
    image_shape: tuple[int, int, int],
    **facts: Any,  # noqa: ANN401 (the card validates them)
) -> ClassifierCard:
    """Write a classifier, float32; it appears whole or not at all.

    Args:
        folder: Where to; must not exist.
        classifier: The trained network.
        architecture: What it was built as.
        image_shape: Channels, height, width.
        facts: Further fields of the card: ``accuracy``, ``test_images``, ``data``, ``data_fingerprint`` and more.

    Raises:
        InvalidRequest: ``folder`` exists.
    """
    with new_folder(folder) as partial:
        weights = {name: value.detach().contiguous().cpu() for name, value in classifier.state_dict().items()}
        save_file(weights, partial / _WEIGHTS, metadata={"format": "pt"})
        card = ClassifierCard(
            fewstep_version=version("fewstep"),
            architecture=architecture,
            image_shape=image_shape,
            num_classes=classifier.head.out_features,
            num_features=classifier.num_features,
            parameters=sum(parameter.numel() for parameter in classifier.parameters()),
            sha256=sha256(partial / _WEIGHTS),
            **facts,
        )
        (partial / CLASSIFIER_CARD_NAME).write_text(card.model_dump_json(indent=2) + "\n")
    return card


def load_classifier(folder: Path) -> tuple[Classifier, ClassifierCard]:
    """A frozen classifier in evaluation mode, and its card.

    Gradients pass through it to the images, but it takes none itself.

    Raises:
        CheckpointError: A file is missing or damaged, or the weights are not those the card was written for.
    """
    card = read_classifier_card(folder)
    weights = folder / _WEIGHTS
    verify_weights(weights, card.sha256)
    channels = card.image_shape[0]
    classifier = Classifier(
        card.architecture,
        channels=channels,
        num_classes=card.num_classes,
        mean=(0.0,) * channels,  # the file has the real ones
        std=(1.0,) * channels,
    )
    try:
        classifier.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{weights}: not the weights of a {card.architecture}: {error}") from error
    return classifier.requires_grad_(False).eval(), card
