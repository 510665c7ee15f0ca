"""The loss that a method and its options stand for."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Literal

from core.card import CARD_NAME
from core.errors import InvalidRequest
from models.cfd import RESNET_PRESET, CFDConfig, cfd_loss
from models.classifier import SHAPES
from models.classifier_checkpoint import load_classifier
from models.distill import StudentLoss
from models.engine import pick_device
from models.execution import AUTO, Execution
from models.pd import pd_loss


def pick_student_loss(
    method: Literal["pd", "cfd"],
    *,
    classifier: Path | None,
    image_shape: tuple[int, int, int],
    given: Mapping[str, float],
    device: str = "auto",
    execution: Execution = AUTO,
) -> tuple[StudentLoss, dict[str, object]]:
    """The loss of a student, and what a card says of it.

    Args:
        method: ``pd`` or ``cfd``.
        classifier: Folder of the classifier that ``cfd`` distils through.
        image_shape: Channels, height, width of the teacher's images.
        given: Fields of ``CFDConfig`` in place of the paper's values for this kind of classifier.
        device: As of ``models.engine.pick_device``.
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
    if (classifier / CARD_NAME).exists():
        raise InvalidRequest(f"{classifier} is a checkpoint, not a classifier", field="classifier")
    network, card = load_classifier(classifier)
    if card.image_shape != image_shape:
        raise InvalidRequest(
            f"{classifier} takes images of {card.image_shape}, the teacher makes {image_shape}", field="classifier"
        )
    config = replace(CFDConfig() if SHAPES[card.architecture].dense else RESNET_PRESET, **given)
    facts: dict[str, object] = {
        **asdict(config),
        "classifier": classifier.name,
        "classifier_architecture": card.architecture,  # a judge must be of another
        "classifier_sha256": card.sha256,
    }
    classify = execution.view(network.to(pick_device(device)))
    return partial(cfd_loss, classify=classify, config=config), facts
