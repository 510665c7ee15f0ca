"""The classifier that a student is taught through: one of ours, or one of the Hugging Face Hub."""

from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from core.catalog.card import CARD_NAME
from core.catalog.classifier_card import CLASSIFIER_CARD_NAME
from core.errors import InvalidRequest
from models.classifiers.checkpoint import load_classifier
from models.classifiers.classifier import SHAPES, Classifier, fold_norms
from models.classifiers.hub import load_hub_classifier
from models.distillation.method import Setup
from models.sampling.engine import pick_device


class Teaching(NamedTuple):
    """A classifier, frozen, on its device and as it is to be run.

    Attributes:
        network: Maps images (B, C, H, W) in [-1, 1] to ``(logits, features)``.
        dense: Whether it is a DenseNet or, as papers' values go, more like one than like a ResNet.
        knows_data: Whether its classes may be taken for those of the data.
        facts: For the cards.
        class_names: Of its classes, where they may be taken for those of the data and have names.
        maps: Of ours: maps images to ``(maps, features)``, as of ``models.classifiers.classifier.Classifier.maps``.
        width: Of ours: channels of the maps.
    """

    network: nn.Module
    dense: bool
    knows_data: bool
    facts: dict[str, object]
    class_names: tuple[str, ...] | None = None
    maps: nn.Module | None = None
    width: int | None = None


class _Maps(nn.Module):
    """A classifier up to its last maps."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.classifier.maps(images)


def load_teaching_classifier(setup: Setup) -> Teaching:
    """The classifier that a method is to distil through.

    Raises:
        InvalidRequest: It does not fit the images, or is none.
        CheckpointError: It is damaged.
    """
    name = setup.classifier
    assert name is not None  # the declaration says that one is needed
    if Path(name, CARD_NAME).exists():
        raise InvalidRequest(f"{name} is a checkpoint, not a classifier", field="classifier")
    is_ours = Path(name, CLASSIFIER_CARD_NAME).is_file()
    found = (_ours if is_ours else _of_the_hub)(name, setup.image_shape)
    network = found.network.to(pick_device(setup.device))
    found = found._replace(network=setup.execution.view(network))
    if isinstance(network, Classifier):
        found = found._replace(maps=setup.execution.view(_Maps(network)), width=network.num_features)
    return found


def _ours(classifier: str, image_shape: tuple[int, int, int]) -> Teaching:
    folder = Path(classifier)
    network, card = load_classifier(folder)
    fold_norms(network)
    if card.image_shape != image_shape:
        raise InvalidRequest(
            f"{folder} takes images of {card.image_shape}, the teacher makes {image_shape}", field="classifier"
        )
    facts: dict[str, object] = {
        "classifier": folder.name,
        "classifier_architecture": card.architecture,  # a judge must be of another
        "classifier_sha256": card.sha256,
    }
    return Teaching(network, SHAPES[card.architecture].dense, True, facts, card.class_names)


def _of_the_hub(classifier: str, image_shape: tuple[int, int, int]) -> Teaching:
    network = load_hub_classifier(classifier)
    if image_shape[0] not in (1, network.channels):
        raise InvalidRequest(
            f"{classifier} takes images of {network.channels} channels, the teacher makes {image_shape[0]}",
            field="classifier",
        )
    facts: dict[str, object] = {
        "classifier": classifier if network.revision else Path(classifier).name,
        "classifier_architecture": network.architecture,
        "classifier_sha256": network.sha256,
        "classifier_revision": network.revision,
    }
    return Teaching(network, network.architecture != "resnet", False, facts)
