"""The loss that a method and its options stand for."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from torch import nn

from core.catalog.card import CARD_NAME
from core.catalog.classifier_card import CLASSIFIER_CARD_NAME
from core.errors import InvalidRequest
from models.classifiers.checkpoint import load_classifier
from models.classifiers.classifier import SHAPES
from models.classifiers.hub import load_hub_classifier
from models.distillation.methods.cfd import RESNET_PRESET, CFDConfig, cfd_loss
from models.distillation.methods.pd import pd_loss
from models.distillation.rounds import StudentLoss
from models.sampling.engine import pick_device
from models.training.execution import AUTO, Execution


class _Chosen(NamedTuple):
    """A classifier, the paper's values for its kind, and what cards say of it."""

    network: nn.Module
    preset: CFDConfig
    facts: dict[str, object]


def pick_student_loss(
    method: Literal["pd", "cfd"],
    *,
    classifier: str | None,
    image_shape: tuple[int, int, int],
    given: Mapping[str, float],
    device: str = "auto",
    execution: Execution = AUTO,
) -> tuple[StudentLoss, dict[str, object]]:
    """The loss of a student, and what a card says of it.

    Args:
        method: ``pd`` or ``cfd``.
        classifier: What ``cfd`` distils through: the folder of a classifier of ours, or a model of the Hugging Face
            Hub as of ``models.classifiers.hub.load_hub_classifier``.
        image_shape: Channels, height, width of the teacher's images.
        given: Fields of ``CFDConfig`` in place of the paper's values for this kind of classifier.
        device: As of ``models.sampling.engine.pick_device``.
        execution: How the classifier is run.

    Raises:
        InvalidRequest: The options do not fit the method, or the classifier not the images.
        CheckpointError: The classifier is damaged.
    """
    if method == "pd":
        if unused := [name.replace("_", "-") for name in (*given, *(["classifier"] if classifier else []))]:
            raise InvalidRequest("pd has no use for it; it belongs to --method cfd", field=unused[0])
        return pd_loss, {}
    if classifier is None:
        raise InvalidRequest("cfd distils through a classifier; name the folder of one", field="classifier")
    if Path(classifier, CARD_NAME).exists():
        raise InvalidRequest(f"{classifier} is a checkpoint, not a classifier", field="classifier")
    is_ours = Path(classifier, CLASSIFIER_CARD_NAME).is_file()
    chosen = (_ours if is_ours else _of_the_hub)(classifier, image_shape)
    config = replace(chosen.preset, **given)
    classify = execution.view(chosen.network.to(pick_device(device)))
    return partial(cfd_loss, classify=classify, config=config), {**asdict(config), **chosen.facts}


def _ours(classifier: str, image_shape: tuple[int, int, int]) -> _Chosen:
    folder = Path(classifier)
    network, card = load_classifier(folder)
    if card.image_shape != image_shape:
        raise InvalidRequest(
            f"{folder} takes images of {card.image_shape}, the teacher makes {image_shape}", field="classifier"
        )
    facts: dict[str, object] = {
        "classifier": folder.name,
        "classifier_architecture": card.architecture,  # a judge must be of another
        "classifier_sha256": card.sha256,
    }
    return _Chosen(network, CFDConfig() if SHAPES[card.architecture].dense else RESNET_PRESET, facts)


def _of_the_hub(classifier: str, image_shape: tuple[int, int, int]) -> _Chosen:
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
    # Its classes are not taken for those of the data, so the dataset term is for the user to ask for.
    preset = replace(RESNET_PRESET, dataset_weight=0.0) if network.architecture == "resnet" else CFDConfig()
    return _Chosen(network, preset, facts)
